//! A child process on a leash: bounded memory, bounded output, watched progress, killed on drop
//! and when this process ends.
//!
//! Everything a child makes comes through its standard output. Limits are set by `prlimit(2)` on
//! the running child instead of between fork and exec: a child has read nothing by then.

mod birth;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Resource, Rlimit, Signal, kill_process_group, prlimit, setpriority_process,
};

use crate::ffmpeg::Limits;

/// One read of the pipe. A Linux pipe holds 64 KiB; larger reads would come back short.
const READ_BYTES: usize = 64 << 10;
/// Reads that may wait: 1 MiB in all, enough to keep both sides busy.
const READS_WAITING: usize = 16;
/// What is kept of the child's complaints: the last lines say what was wrong.
const STDERR_BYTES_MAX: usize = 8 << 10;
/// How often a wait looks whether it was cancelled. Below what a person notices.
const POLL: Duration = Duration::from_millis(100);
/// How long a child may take to exit after it closed its output.
const EXIT_TIMEOUT: Duration = Duration::from_secs(10);
/// Encoding is never in a hurry: a class on the same machine comes first.
const NICENESS: i32 = 10;
/// What the kernel ends first where memory runs out: 1000 is the most (proc(5)). A child can be
/// started again, and the hub behind it is what a class looks at.
const OOM_SCORE_ADJ: &str = "1000";

/// Does `work` on a thread of its own at the children's low priority, which is that of every thread
/// it starts too (on Linux it is a property of threads, and cannot be raised again).
pub(crate) fn at_low_priority<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let low = || {
        if let Err(error) = setpriority_process(None, NICENESS) {
            tracing::warn!(%error, "a lesson is made at normal priority");
        }
        work()
    };
    let done = std::thread::scope(|scope| scope.spawn(low).join());
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Why a child process did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// The program could not be started.
    #[error("cannot start {program}: {source}")]
    Start {
        /// The program's file name.
        program: String,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// Nothing came out of it for the whole stall timeout; it was killed.
    #[error("ffmpeg made no progress for {stalled_ms} ms and was stopped")]
    Stalled {
        /// The timeout.
        stalled_ms: u64,
    },
    /// The caller asked to stop; it was killed.
    #[error("cancelled")]
    Cancelled,
    /// It ended with an error.
    #[error("ffmpeg failed ({status}): {complaint}")]
    Failed {
        /// The exit status in words.
        status: String,
        /// The end of its standard error, at most 8 KiB.
        complaint: String,
    },
    /// A signal ended it.
    #[error("ffmpeg was ended by signal {signal} (out of memory?); try again")]
    Killed {
        /// The signal's number.
        signal: i32,
    },
    /// It wrote more than it may.
    #[error("ffmpeg wrote more than the {bytes_max} bytes allowed")]
    TooMuch {
        /// The bound.
        bytes_max: usize,
    },
}

impl ChildError {
    /// Whether it was stopped, by the kernel for want of memory, by somebody, or because it hung:
    /// that says nothing about what it was given, and another try may go well. A signal that a
    /// program brings upon itself is a failure like any other.
    pub(crate) fn is_stopped(&self) -> bool {
        let stops = [Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP].map(Signal::as_raw);
        match self {
            Self::Stalled { .. } => true,
            Self::Killed { signal } => stops.contains(signal),
            _ => false,
        }
    }

    /// Whether ffmpeg gave up because not one frame came out of the input: the words of its
    /// versions 5 and 6, and of 7.
    pub(crate) fn is_empty_input(&self) -> bool {
        let Self::Failed { complaint, .. } = self else { return false };
        ["Cannot determine format of input", "Nothing was written into output"]
            .iter()
            .any(|words| complaint.contains(words))
    }
}

/// A running child whose standard output is being read.
pub(crate) struct Child {
    process: std::process::Child,
    chunks: Receiver<Vec<u8>>,
    current: Vec<u8>,
    current_at: usize,
    complaint: Arc<Mutex<VecDeque<u8>>>,
    readers: Vec<JoinHandle<()>>,
    stall_timeout: Duration,
}

impl Child {
    /// Starts `program` with its limits.
    pub(crate) fn start(
        program: &Path,
        arguments: &[OsString],
        limits: &Limits,
    ) -> Result<Self, ChildError> {
        Self::start_with(program, arguments, limits, Stdio::null())
    }

    /// Starts `program` with its limits, writes `input` to its standard input, and reads all that
    /// comes out, at most `bytes_max`, until a good end.
    pub(crate) fn filter(
        program: &Path,
        arguments: &[OsString],
        limits: &Limits,
        input: &[&[u8]],
        bytes_max: usize,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Vec<u8>, ChildError> {
        let mut child = Self::start_with(program, arguments, limits, Stdio::piped())?;
        let mut stdin = child.process.stdin.take().expect("stdin was asked for as a pipe");
        std::thread::scope(|scope| {
            // A child that ends early, or is killed on an error below, breaks the pipe, and that
            // ends this thread; what was wrong is then in the child's status.
            scope.spawn(move || input.iter().all(|bytes| stdin.write_all(bytes).is_ok()));
            child.read_all(bytes_max, is_cancelled)
        })
    }

    fn start_with(
        program: &Path,
        arguments: &[OsString],
        limits: &Limits,
        stdin: Stdio,
    ) -> Result<Self, ChildError> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // LibreOffice starts programs of its own: all of them are ended together.
            .process_group(0);
        let mut process =
            birth::spawn(command).map_err(|source| ChildError::Start { program: name, source })?;
        restrain(&process, limits);
        let stdout = process.stdout.take().expect("stdout was asked for as a pipe");
        let stderr = process.stderr.take().expect("stderr was asked for as a pipe");
        let (sender, chunks) = sync_channel(READS_WAITING);
        let complaint = Arc::new(Mutex::new(VecDeque::new()));
        let kept = Arc::clone(&complaint);
        let readers = vec![
            std::thread::spawn(move || pump(stdout, &sender)),
            std::thread::spawn(move || keep_tail(stderr, &kept)),
        ];
        let stall_timeout = Duration::from_millis(limits.stall_timeout_ms);
        let (current, current_at) = (Vec::new(), 0);
        Ok(Self { process, chunks, current, current_at, complaint, readers, stall_timeout })
    }

    /// Fills `buffer`; fewer bytes mean that the output has ended.
    pub(crate) fn read(
        &mut self,
        buffer: &mut [u8],
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<usize, ChildError> {
        let mut filled = 0;
        while filled < buffer.len() {
            if self.current_at == self.current.len() && !self.refill(is_cancelled)? {
                break;
            }
            let ready = &self.current[self.current_at..];
            let count = ready.len().min(buffer.len() - filled);
            buffer[filled..filled + count].copy_from_slice(&ready[..count]);
            self.current_at += count;
            filled += count;
        }
        Ok(filled)
    }

    /// Reads everything and waits for a good end.
    pub(crate) fn read_all(
        self,
        bytes_max: usize,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Vec<u8>, ChildError> {
        Ok(self.read_all_and_complaint(bytes_max, is_cancelled)?.0)
    }

    /// As [`Child::read_all`]; gives what it complained of, at most 8 KiB, though its end was good.
    pub(crate) fn read_all_and_complaint(
        mut self,
        bytes_max: usize,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<(Vec<u8>, String), ChildError> {
        let mut all = Vec::new();
        while self.refill(is_cancelled)? {
            if all.len() + self.current.len() > bytes_max {
                return Err(ChildError::TooMuch { bytes_max });
            }
            all.append(&mut self.current);
            self.current_at = 0;
        }
        self.end()?;
        Ok((all, self.complaint()))
    }

    /// Waits for the exit after the output has ended; an error status is an error.
    pub(crate) fn finish(mut self) -> Result<(), ChildError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), ChildError> {
        let deadline = Instant::now() + EXIT_TIMEOUT;
        let status = loop {
            match self.process.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                _ => {
                    let stalled_ms = EXIT_TIMEOUT.as_millis() as u64;
                    return Err(ChildError::Stalled { stalled_ms });
                }
            }
        };
        self.join_readers();
        if status.success() {
            return Ok(());
        }
        match std::os::unix::process::ExitStatusExt::signal(&status) {
            Some(signal) => Err(ChildError::Killed { signal }),
            None => {
                let status = status.to_string();
                Err(ChildError::Failed { status, complaint: self.complaint() })
            }
        }
    }

    fn complaint(&self) -> String {
        let kept = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = kept.iter().copied().collect();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }

    /// Waits for the next chunk; `false` means that the output has ended. `is_cancelled` may hold
    /// the wait up (a pause): the child stands still meanwhile and that is none of its fault.
    fn refill(&mut self, is_cancelled: &dyn Fn() -> bool) -> Result<bool, ChildError> {
        let mut waited = Duration::ZERO;
        loop {
            if is_cancelled() {
                return Err(ChildError::Cancelled);
            }
            let asked = Instant::now();
            let next = self.chunks.recv_timeout(POLL);
            waited += asked.elapsed();
            match next {
                Ok(chunk) => {
                    (self.current, self.current_at) = (chunk, 0);
                    return Ok(true);
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(false),
                Err(RecvTimeoutError::Timeout) if waited < self.stall_timeout => {}
                Err(RecvTimeoutError::Timeout) => {
                    let stalled_ms = self.stall_timeout.as_millis() as u64;
                    return Err(ChildError::Stalled { stalled_ms });
                }
            }
        }
    }

    fn join_readers(&mut self) {
        for reader in self.readers.drain(..) {
            // A reader that panicked has lost only complaints; the exit status speaks.
            let _ = reader.join();
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Ok(Some(_)) = self.process.try_wait() {
            return;
        }
        if let Some(group) = pid(&self.process) {
            // It fails only if the whole group has ended meanwhile.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.process.wait();
    }
}

fn restrain(process: &std::process::Child, limits: &Limits) {
    let Some(pid) = pid(process) else { return };
    let both = |most: Option<u64>| Rlimit { current: most, maximum: most };
    let wanted = [
        (Resource::As, both(Some(limits.child_memory_bytes))),
        (Resource::Core, both(Some(0))),
        // Most write to pipes only; a file would be a mistake or an attack.
        (Resource::Fsize, both(Some(limits.child_file_bytes))),
        (Resource::Cpu, both(limits.child_cpu_s)),
    ];
    for (resource, limit) in wanted {
        if let Err(error) = prlimit(Some(pid), resource, limit) {
            tracing::warn!(?resource, %error, "a child runs without this limit");
        }
    }
    if let Err(error) = setpriority_process(Some(pid), NICENESS) {
        tracing::warn!(%error, "a child runs at normal priority");
    }
    // Anybody may raise it, and nobody but root lower it again.
    let score = format!("/proc/{}/oom_score_adj", process.id());
    if let Err(error) = std::fs::write(score, OOM_SCORE_ADJ) {
        tracing::warn!(%error, "a child is no more likely than the hub to be ended for memory");
    }
}

fn pid(process: &std::process::Child) -> Option<Pid> {
    i32::try_from(process.id()).ok().and_then(Pid::from_raw)
}

fn pump(mut output: impl Read, chunks: &SyncSender<Vec<u8>>) {
    loop {
        let mut chunk = vec![0; READ_BYTES];
        match output.read(&mut chunk) {
            Ok(0) => return,
            Ok(count) => chunk.truncate(count),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        }
        if chunks.send(chunk).is_err() {
            return;
        }
    }
}

fn keep_tail(mut output: impl Read, kept: &Mutex<VecDeque<u8>>) {
    let mut chunk = [0; 1024];
    while let Ok(count @ 1..) = output.read(&mut chunk) {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(&chunk[..count]);
        let excess = kept.len().saturating_sub(STDERR_BYTES_MAX);
        kept.drain(..excess);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use super::*;

    fn shell(script: &str, limits: &Limits) -> Child {
        let arguments = ["-c".into(), script.into()];
        Child::start(Path::new("/bin/sh"), &arguments, limits).unwrap()
    }

    #[test]
    fn a_child_that_stops_delivering_is_stopped() {
        let limits = Limits { stall_timeout_ms: 300, ..Limits::default() };
        let mut child = shell("echo hi; exec sleep 600", &limits);
        let pid = child.process.id();
        let mut buffer = [0; 16];
        let error = child.read(&mut buffer, &|| false).unwrap_err();
        assert!(matches!(error, ChildError::Stalled { stalled_ms: 300 }), "{error}");
        drop(child);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    /// Tells the process that is killed below what it is.
    const KILLED: &str = "YINGXUE_CHILD_KILLED";

    /// Does nothing but for the test below, which starts it in a process of its own.
    #[test]
    fn a_process_that_is_killed() {
        if std::env::var_os(KILLED).is_none() {
            return;
        }
        // A child that neither reads nor writes notices no closed pipe.
        let child = shell("exec sleep 600", &Limits::default());
        println!("child {}", child.process.id());
        let _ = child.read_all(10, &|| false);
    }

    #[test]
    fn a_child_ends_with_its_parent_and_not_with_the_thread_that_asked_for_it() {
        let asked = std::thread::spawn(|| {
            let (cat, limits) = (Path::new("/bin/cat"), Limits::default());
            Child::start_with(cat, &[], &limits, Stdio::piped()).unwrap()
        });
        let mut child = asked.join().unwrap();
        child.process.stdin.take().unwrap().write_all(b"hi").unwrap();
        assert_eq!(child.read_all(10, &|| false).unwrap(), b"hi");

        let mut parent = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child::tests::a_process_that_is_killed", "--nocapture"])
            .env(KILLED, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(parent.stdout.take().unwrap()).lines();
        let words = said.map_while(Result::ok);
        let child = words.filter_map(|line| Some(line.split_once("child ")?.1.to_owned())).next();
        let child = format!("/proc/{}/stat", child.unwrap());
        parent.kill().unwrap();
        parent.wait().unwrap();
        let deadline = Instant::now() + EXIT_TIMEOUT;
        // Whoever inherits it may leave it as a zombie for a while.
        while std::fs::read_to_string(&child).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(Instant::now() < deadline, "the child outlived its parent");
            std::thread::yield_now();
        }
    }

    #[test]
    fn cancelling_stops_a_wait() {
        let child = shell("exec sleep 600", &Limits::default());
        assert!(matches!(child.read_all(10, &|| true), Err(ChildError::Cancelled)));
    }

    #[test]
    fn a_pause_is_no_stall() {
        let limits = Limits { stall_timeout_ms: 300, ..Limits::default() };
        let child = shell("sleep 0.1; echo hi", &limits);
        // Whoever asks stands still until a child has been silent for longer than it may.
        let stall_timeout = Duration::from_millis(limits.stall_timeout_ms);
        let paused = || {
            let began = Instant::now();
            while began.elapsed() <= stall_timeout {
                std::thread::sleep(POLL);
            }
            false
        };
        assert_eq!(child.read_all(10, &paused).unwrap(), b"hi\n");
    }

    #[test]
    fn a_filter_gets_its_input_and_one_that_does_not_read_ends_too() {
        let big = vec![b'x'; 3 << 20];
        let run = |script: &str, bytes_max| {
            let arguments = ["-c".into(), script.into()];
            let (sh, limits) = (Path::new("/bin/sh"), Limits::default());
            Child::filter(sh, &arguments, &limits, &[&big, b"y"], bytes_max, &|| false)
        };
        assert_eq!(run("cat", 4 << 20).unwrap().len(), (3 << 20) + 1);
        assert!(matches!(run("cat", 1 << 20), Err(ChildError::TooMuch { .. })));
        assert_eq!(run("echo no", 10).unwrap(), b"no\n");
        assert!(matches!(run("exit 3", 10), Err(ChildError::Failed { .. })));
    }

    #[test]
    fn output_complaints_and_memory_are_bounded() {
        let many = "yes | head -c 2000000";
        let child = shell(many, &Limits::default());
        let error = child.read_all(1 << 20, &|| false).unwrap_err();
        assert!(matches!(error, ChildError::TooMuch { .. }), "{error}");

        let child = shell("yes | head -c 200000 >&2; echo the end >&2; exit 3", &Limits::default());
        let Err(ChildError::Failed { complaint, .. }) = child.read_all(10, &|| false) else {
            panic!("must fail");
        };
        assert!(complaint.len() <= STDERR_BYTES_MAX && complaint.ends_with("the end"));

        let limits = Limits { child_memory_bytes: 1 << 30, ..Limits::default() };
        let limit = shell("sleep 0.2; ulimit -v; ulimit -c; ulimit -f", &limits);
        let text = limit.read_all(1000, &|| false).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "1048576\n0\n0\n");

        let child = shell("exec sleep 600", &Limits::default());
        let score = std::fs::read_to_string(format!("/proc/{}/oom_score_adj", child.process.id()));
        assert_eq!(score.unwrap().trim(), "1000", "the kernel ends it before this process");
    }
}
