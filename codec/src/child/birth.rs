//! Starts programs that end when this process does, however it ends.
//!
//! A closed pipe is not enough: an ffmpeg that encodes by SVT-AV1 can hang in its own end. The
//! kernel ends a child when the *thread* that made it ends (`PR_SET_PDEATHSIG`, prctl(2)), so one
//! thread makes all of them and stays.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, channel};

use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

/// A program to start, and where to say how that went.
type Order = (Command, Sender<io::Result<Child>>);

static MAKER: LazyLock<Sender<Order>> = LazyLock::new(|| {
    let (orders, waiting) = channel::<Order>();
    std::thread::spawn(move || {
        for (mut command, answer) in waiting {
            // Whoever asked waits for the answer.
            let _ = answer.send(start(&mut command));
        }
    });
    orders
});

/// Starts `command` as a child that this process does not leave behind.
pub(super) fn spawn(command: Command) -> io::Result<Child> {
    let (answer, started) = channel();
    MAKER.send((command, answer)).expect("the thread that makes children never ends");
    started.recv().expect("the thread that makes children answers each order")
}

fn start(command: &mut Command) -> io::Result<Child> {
    let parent = getpid();
    // SAFETY: between fork and exec the closure makes two system calls, allocates nothing and
    // takes no lock; `parent` is a number of its own.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(move || end_with(parent));
    }
    command.spawn()
}

/// In the child: to be killed when `parent` ends, which may have been before this line.
fn end_with(parent: Pid) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
}
