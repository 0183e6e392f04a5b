//! The demo runs in a process group of its own. Ctrl-C goes to everybody in the terminal's group: containerd would end
//! before its pods are removed. So signals reach this process alone, and it asks the other one to end, once.

use std::{
    env,
    os::unix::process::ExitStatusExt,
    process::ExitCode,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use tokio::{
    process::Command,
    runtime::Builder,
    select,
    signal::unix::{SignalKind, signal},
};

/// Runs the demo apart, and ends with its code.
pub fn run() -> Result<ExitCode> {
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut demo = Command::new(env::current_exe()?)
            .args(env::args_os().skip(1))
            .arg("--apart")
            .process_group(0)
            .spawn()?;
        let status = loop {
            select! {
                status = demo.wait() => break status?,
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            // None: it has ended, and its status is next.
            if let Some(pid) = demo.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
                kill_process(pid, Signal::TERM)?;
            }
        };
        match (status.code(), status.signal()) {
            (Some(code), _) => Ok(ExitCode::from(u8::try_from(code)?)),
            (None, signal) => bail!("killed by signal {signal:?}: something may be left"),
        }
    })
}

/// Whether the demo is to end: its sender goes when it is.
#[derive(Debug)]
pub struct Stop(mpsc::Receiver<()>);

impl Stop {
    /// From now on SIGTERM ends nothing by itself. It also comes when the process that started this one is gone.
    pub fn listen() -> Result<Stop> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let mut asked = runtime.block_on(async { signal(SignalKind::terminate()) })?;
        set_parent_process_death_signal(Some(Signal::TERM)).context("the parent is watched")?;
        let (going, stop) = mpsc::channel();
        thread::spawn(move || {
            let _going = going;
            runtime.block_on(asked.recv())
        });
        Ok(Stop(stop))
    }

    /// An error if the demo is to end.
    pub fn check(&self) -> Result<()> {
        self.pause(Duration::ZERO)
    }

    /// Waits, unless the demo is to end.
    pub fn pause(&self, time: Duration) -> Result<()> {
        match self.0.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => bail!("interrupted"),
        }
    }

    pub fn wait(&self) {
        let _asked = self.0.recv();
    }
}
