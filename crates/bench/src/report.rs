//! Reports as people read them.

use crate::load::LoadReport;
use crate::timing::QueryReport;
use crate::verify::VerifyReport;
use crate::year::YearReport;
use std::fmt::{self, Display, Formatter};

impl Display for LoadReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let samples = self.samples.max(1) as f64;
        if let Some(why) = &self.stopped {
            writeln!(f, "stopped early         {why}")?;
        }
        writeln!(f, "series                {}, every {} ms", self.plan.series, self.plan.interval_ms)?;
        writeln!(f, "samples acknowledged  {} in {:.1} s", self.samples, self.seconds)?;
        writeln!(f, "samples a second      {:.0}", self.samples as f64 / self.seconds.max(1e-9))?;
        writeln!(f, "requests              {}, {} sent again", self.requests, self.retries)?;
        writeln!(
            f,
            "bytes a sample        {:.1} of protobuf, {:.1} of snappy",
            self.protobuf_bytes as f64 / samples,
            self.snappy_bytes as f64 / samples
        )?;
        let latency = &self.latency;
        writeln!(
            f,
            "answers               p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
            latency.p50_ms, latency.p99_ms, latency.max_ms
        )?;
        for (who, usage) in [("server", self.server), ("generator", self.own)] {
            let Some(usage) = usage else { continue };
            writeln!(
                f,
                "{who:<21} {:.2} µs of CPU a sample ({:.1} s), {:.0} MB of memory at most",
                usage.cpu_seconds * 1e6 / samples,
                usage.cpu_seconds,
                usage.peak_bytes as f64 / 1e6
            )?;
        }
        Ok(())
    }
}

impl Display for VerifyReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let VerifyReport { acknowledged, found, lost, extra, wrong, unanswered, examples } = self;
        writeln!(f, "acknowledged  {acknowledged} samples, {found} of them found")?;
        writeln!(f, "lost          {lost}")?;
        writeln!(f, "extra         {extra}")?;
        writeln!(f, "wrong         {wrong}")?;
        writeln!(f, "unanswered    {unanswered} found (sent, and stored before the answer was lost)")?;
        examples.iter().try_for_each(|example| writeln!(f, "  {example}"))
    }
}

impl Display for QueryReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>10} {:>10} {:>9} {:>7} {:>8} {:>9}  query ({} runs)",
            "median ms", "max ms", "bytes", "series", "values", "extra MB", self.runs
        )?;
        for times in &self.queries {
            let latency = &times.latency;
            let extra =
                times.extra_bytes.map_or("–".to_owned(), |bytes| format!("{:.1}", bytes as f64 / 1e6));
            match &times.refused {
                Some(why) => writeln!(f, "{:>58}  {} ({why})", "refused", times.query)?,
                None => writeln!(
                    f,
                    "{:>10.2} {:>10.2} {:>9} {:>7} {:>8} {:>9}  {}",
                    latency.p50_ms,
                    latency.max_ms,
                    times.answer_bytes,
                    times.series,
                    times.values,
                    extra,
                    times.query
                )?,
            }
        }
        self.others_cpus.iter().try_for_each(|cpus| writeln!(f, "other processes used {cpus:.2} CPUs"))
    }
}

impl Display for YearReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let gb = |bytes: u64| bytes as f64 / 1e9;
        writeln!(f, "{} active series, {} days: {} samples", self.series, self.days(), self.samples)?;
        writeln!(f, "at most {:.2} GB of disk\n", gb(self.peak_disk_bytes))?;
        writeln!(f, "  blocks    wall s     CPU s  peak MB     GB in    GB out  stage")?;
        for (name, stage) in &self.stages {
            writeln!(
                f,
                "{:>8} {:>9.1} {:>9.1} {:>8.0} {:>9.2} {:>9.2}  {name}",
                stage.blocks,
                stage.seconds,
                stage.cpu_seconds,
                stage.peak_bytes as f64 / 1e6,
                gb(stage.bytes_in),
                gb(stage.bytes_out)
            )?;
        }
        writeln!(f, "\n  blocks        samples        GB  in the bucket (GB marked for deletion)")?;
        for (resolution_ms, held) in &self.bucket {
            let name = match resolution_ms {
                0 => "raw".to_owned(),
                ms => format!("{} m", ms / 60_000),
            };
            let (all, marked) = (gb(held.bytes), gb(held.marked_bytes));
            writeln!(f, "{:>8} {:>14} {all:>9.2}  {name} ({marked:.2})", held.blocks, held.samples)?;
        }
        Ok(())
    }
}
