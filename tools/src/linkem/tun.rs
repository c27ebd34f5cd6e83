//! A TUN device: a network device whose packets this process reads and writes.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, Result, ensure};
use rustix::fs::OFlags;
use rustix::ioctl::{Setter, ioctl, opcode};

/// Longest name of a network device (IFNAMSIZ with its zero).
const NAME_BYTES: usize = 16;
/// IP packets without a link layer's header, and none of TUN's own (linux/if_tun.h).
const IFF_TUN: i16 = 0x0001;
const IFF_NO_PI: i16 = 0x1000;
/// TUNSETIFF of linux/if_tun.h: `_IOW('T', 202, int)`, although it takes a `struct ifreq`.
const TUNSETIFF: rustix::ioctl::Opcode = opcode::write::<std::ffi::c_int>(b'T', 202);

/// `struct ifreq` of linux/if.h, with the flags of its union: 40 bytes on 64-bit systems.
#[repr(C)]
struct Request {
    name: [u8; NAME_BYTES],
    flags: i16,
    rest: [u8; 22],
}

/// Makes a TUN device in this process's namespace; it goes when the file is closed, wherever it
/// was moved to. Reads give one packet each and never wait.
pub fn open(name: &str) -> Result<File> {
    ensure!(name.len() < NAME_BYTES, "{name}: a device's name has at most 15 bytes");
    let nonblock = i32::try_from(OFlags::NONBLOCK.bits()).context("a flag of open(2)")?;
    let tun = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(nonblock)
        .open("/dev/net/tun")
        .context("open /dev/net/tun (the kernel's module tun, in a container its device)")?;
    let mut request = Request { name: [0; NAME_BYTES], flags: IFF_TUN | IFF_NO_PI, rest: [0; 22] };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: TUNSETIFF reads a `struct ifreq`, which `Request` is bit for bit, and keeps no
    // reference to it; `tun` is a file of the TUN driver, which is what the number is for.
    #[allow(unsafe_code)]
    unsafe { ioctl(&tun, Setter::<TUNSETIFF, Request>::new(request)) }
        .with_context(|| format!("make the TUN device {name}"))?;
    Ok(tun)
}
