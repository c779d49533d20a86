//! Medians over the rounds, and how Waybill compares with the best of the others.

use std::fmt::Write as _;

use crate::cases::{Better, Case, Measured};
use crate::server::Server;

/// Every measurement, by case and server.
pub struct Results {
    servers: Vec<&'static str>,
    cases: Vec<Case>,
    cells: Vec<Vec<Vec<Measured>>>,
}

impl Results {
    /// None yet.
    pub fn new(servers: &[Server], cases: &[Case]) -> Self {
        Self {
            servers: servers.iter().map(|server| server.name).collect(),
            cases: cases.to_vec(),
            cells: vec![vec![Vec::new(); servers.len()]; cases.len()],
        }
    }

    /// One more, of this case and server.
    pub fn add(&mut self, (row, column): (usize, usize), measured: Measured) {
        self.cells[row][column].push(measured);
    }

    /// The table.
    pub fn markdown(&self) -> String {
        let mut text = format!("| case | {} | Waybill : best |\n", self.servers.join(" | "));
        let _ = writeln!(text, "| --- |{} --- |", " ---: |".repeat(self.servers.len()));
        for (case, cells) in self.cases.iter().zip(&self.cells) {
            let (unit, cpu_unit) = case.units();
            let medians: Vec<Option<(f64, Option<f64>)>> = cells.iter().map(|cell| summary(cell)).collect();
            let _ = write!(text, "| {} |", case.name());
            for median in &medians {
                let _ = match median {
                    Some((value, Some(cpu))) => write!(text, " {} {unit}, {cpu:.2} {cpu_unit} |", number(*value)),
                    Some((value, None)) => write!(text, " {} {unit} |", number(*value)),
                    None => write!(text, " – |"),
                };
            }
            let _ = writeln!(text, " {} |", self.ratio(*case, &medians).unwrap_or_else(|| "–".to_owned()));
        }
        text
    }

    /// Above 1 is better, whichever way the value is read.
    fn ratio(&self, case: Case, medians: &[Option<(f64, Option<f64>)>]) -> Option<String> {
        let own = self.servers.iter().position(|name| *name == "Waybill")?;
        let (value, cpu) = medians[own]?;
        let others = medians.iter().enumerate().filter(|(column, _)| *column != own).filter_map(|(_, median)| *median);
        let (best, best_cpu) = others.reduce(|one, two| {
            let first = if case.better() == Better::Higher { one.0 >= two.0 } else { one.0 <= two.0 };
            if first { one } else { two }
        })?;
        let ratio = if case.better() == Better::Higher { value / best } else { best / value };
        let cpu = cpu.zip(best_cpu).map(|(own, other)| format!(", CPU × {:.2}", own / other)).unwrap_or_default();
        Some(format!("**{ratio:.2}**{cpu}"))
    }
}

fn number(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

fn summary(cell: &[Measured]) -> Option<(f64, Option<f64>)> {
    let value = median(cell.iter().map(|measured| measured.value).collect())?;
    Some((value, median(cell.iter().filter_map(|measured| measured.cpu).collect())))
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        count if count % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}
