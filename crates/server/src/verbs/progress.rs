//! Telling how far an import is, on standard error.

use std::io::{IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};
use magistrate_model::{Instant, Span};
use magistrate_pap::{Progress, Step, Watch};
use magistrate_pdp::Clock as _;

use crate::os::SystemClock;

/// Between two lines where no bar can be drawn.
const PAUSE: Span = Span::seconds(5);
const TEMPLATE: &str = "{msg} [{bar:32}] {human_pos}/{human_len} {per_sec} ETA {eta}";

/// Watches an import for the command line.
pub(crate) struct Telling {
    form: Form,
    interrupted: Arc<AtomicBool>,
    step: Option<Step>,
}

enum Form {
    Nothing,
    Bar(ProgressBar),
    Lines(Lines),
}

/// Counts what is done of a known number: a bar on a terminal, else a line now and then.
pub(crate) struct Counting {
    name: &'static str,
    done: u64,
    of: u64,
    bar: Option<ProgressBar>,
    began: Instant,
    told: Instant,
}

impl Counting {
    pub(crate) fn new(name: &'static str, of: u64) -> Self {
        let now = SystemClock.now();
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = bar();
            bar.set_length(of);
            bar.set_message(name);
            bar
        });
        Self { name, done: 0, of, bar, began: now, told: now }
    }

    pub(crate) fn add(&mut self, done: u64) {
        self.done += done;
        let now = SystemClock.now();
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
        } else if now.since(self.told) >= PAUSE {
            self.told = now;
            let line = line(self.name, (self.done, self.of), self.done, now.since(self.began));
            let _unwritable = writeln!(anstream::stderr(), "{line}");
        }
    }

    /// Clears a bar away.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A step's progress as lines, now and then.
struct Lines {
    began: Instant,
    /// Items that were done when the step began.
    before: usize,
    told: Instant,
}

impl Telling {
    /// Tells nothing of a small import; draws a bar on a terminal.
    pub(crate) fn new(large: bool, interrupted: Arc<AtomicBool>) -> Self {
        let now = SystemClock.now();
        let form = match (large, std::io::stderr().is_terminal()) {
            (false, _) => Form::Nothing,
            (true, true) => Form::Bar(bar()),
            (true, false) => Form::Lines(Lines { began: now, before: 0, told: now }),
        };
        Self { form, interrupted, step: None }
    }

    /// Clears a bar away.
    pub(crate) fn end(&self) {
        if let Form::Bar(bar) = &self.form {
            bar.finish_and_clear();
        }
    }

    fn tell(&mut self, progress: Progress) {
        let is_new = self.step.replace(progress.step) != Some(progress.step);
        match &mut self.form {
            Form::Nothing => {}
            Form::Bar(bar) => draw(bar, progress, is_new),
            Form::Lines(lines) => lines.tell(progress, is_new, SystemClock.now()),
        }
    }
}

impl Watch for Telling {
    fn now(&self) -> Instant {
        SystemClock.now()
    }

    fn at(&mut self, progress: Progress) -> ControlFlow<()> {
        self.tell(progress);
        match self.interrupted.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

impl Lines {
    fn tell(&mut self, progress: Progress, is_new: bool, now: Instant) {
        if is_new {
            (self.began, self.before) = (now, progress.done);
        }
        if now.since(self.told) >= PAUSE {
            self.told = now;
            let Progress { step, done, of } = progress;
            let since = done.saturating_sub(self.before) as u64;
            let line = line(name(step), (done as u64, of as u64), since, now.since(self.began));
            let _unwritable = writeln!(anstream::stderr(), "{line}");
        }
    }
}

/// A line such as `importing: 120000 of 1000000, 8000/s, about 110 s left`.
fn line(name: &str, (done, of): (u64, u64), since: u64, passed: Span) -> String {
    let seconds = passed.micros().max(1).unsigned_abs();
    let told = format!("{name}: {done} of {of}");
    match since.saturating_mul(1_000_000) / seconds {
        0 => told,
        rate => format!("{told}, {rate}/s, about {} s left", of.saturating_sub(done).div_ceil(rate)),
    }
}

fn draw(bar: &ProgressBar, progress: Progress, is_new: bool) {
    if is_new {
        bar.reset();
        bar.set_length(progress.of as u64);
        bar.set_message(name(progress.step));
        bar.reset_eta();
    }
    bar.set_position(progress.done as u64);
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style.progress_chars("=> "))
}

fn name(step: Step) -> &'static str {
    match step {
        Step::Read => "reading",
        Step::Check => "checking",
        Step::Commit => "importing",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_tells_rate_and_what_is_left() {
        let check = |done, since, passed, expected: &str| {
            assert_eq!(line(name(Step::Commit), (done, 1_000_000), since, Span::seconds(passed)), expected);
        };
        check(120_000, 120_000, 15, "importing: 120000 of 1000000, 8000/s, about 110 s left");
        check(520_000, 20_000, 10, "importing: 520000 of 1000000, 2000/s, about 240 s left");
        check(0, 0, 0, "importing: 0 of 1000000");
    }
}
