//! The cards and arrows of the flow map, ready to be shown.

use super::map::{Cell, Frame, Line, cells, frame, label_width, labels, line, name_of, reading_order};
use super::{Next, Passes, Row};
use crate::base::human;
use crate::domain::value::ConnectorType;
use crate::web::tone::Tone;

/// One card.
pub struct Node {
    pub id: String,
    pub group: String,
    pub kind: ConnectorType,
    pub column: usize,
    pub row: usize,
    /// Its look.
    pub look: Tone,
    pub meta: String,
    pub next: Vec<Next>,
    pub is_source: bool,
    pub is_target: bool,
}

/// One arrow, or two in both directions.
pub struct Edge {
    pub path: String,
    pub tips: Vec<String>,
    /// Its look.
    pub look: Tone,
    pub label: String,
    pub label_width: usize,
    pub label_x: usize,
    pub label_y: usize,
    pub text_x: usize,
    pub text_y: usize,
}

/// A group of connectors.
pub struct Band {
    pub label: String,
    pub frame: Frame,
}

/// Cards, arrows and the bands behind them.
#[derive(Default)]
pub struct Drawn {
    pub nodes: Vec<Node>,
    pub edges: Vec<Edge>,
    pub bands: Vec<Band>,
}

/// The frames of named groups.
fn frames(names: &[&str], bands: &[usize], cells: &[Cell]) -> Vec<Band> {
    let columns = cells.iter().map(|cell| cell.column).max().unwrap_or(1);
    let frame_of = |(number, name): (usize, &&str)| {
        let rows = || bands.iter().zip(cells).filter(|(band, _)| **band == number).map(|(_, cell)| cell.row);
        Some(Band { label: (*name).to_owned(), frame: frame(rows().min()?, rows().max()?, columns) })
    };
    names.iter().enumerate().filter(|(_, name)| !name.is_empty()).filter_map(frame_of).collect()
}

/// The map of these connectors.
pub fn draw(rows: &[Row], arrows: &[Passes]) -> Drawn {
    let at = |id: &str| rows.iter().position(|row| row.id == id);
    let shown: Vec<_> = arrows.iter().filter_map(|one| Some((at(&one.from)?, at(&one.to)?, one))).collect();
    let keys: Vec<_> = rows.iter().map(|row| row.key.clone()).collect();
    let pairs: Vec<_> = shown.iter().map(|(from, to, _)| (keys[*from].clone(), keys[*to].clone())).collect();
    // Those without a group come first.
    let mut names: Vec<&str> = rows.iter().map(|row| row.group.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let bands: Vec<_> = rows.iter().map(|row| names.iter().position(|name| *name == row.group).unwrap_or(0)).collect();
    let cells = cells(&keys, &pairs, &bands);
    let bands = frames(&names, &bands, &cells);
    let (mut lines, mut looks) = (Vec::new(), Vec::new());
    for (from, to, arrow) in &shown {
        let back = shown.iter().find(|(a, b, _)| (a, b) == (to, from)).map(|(.., back)| *back);
        // A pair is drawn once, from left to right.
        if back.is_some() && (cells[*from].column, from) > (cells[*to].column, to) {
            continue;
        }
        let drawn = line(cells[*from], cells[*to], back.is_some());
        let waiting = arrow.waiting + back.map_or(0, |back| back.waiting);
        let retrying = arrow.retrying + back.map_or(0, |back| back.retrying);
        let label = match back {
            _ if waiting > 0 => format!("{} waiting", human::thousands(waiting)),
            Some(back) => format!("{} and {}", arrow.today(), back.today()),
            None => arrow.today(),
        };
        let width = label_width(&label);
        looks.push((if retrying > 0 { Tone::Bad } else { Tone::Plain }, label));
        lines.push((drawn, width));
    }
    let written: Vec<_> = bands.iter().filter_map(|band| name_of(band.frame, &band.label)).collect();
    let middles = labels(&lines, &written);
    let edges =
        lines.into_iter().zip(looks).zip(middles).map(|((line, look), middle)| edge(line, look, middle)).collect();
    let edges_of: Vec<_> = shown.iter().map(|(from, to, _)| (*from, *to)).collect();
    let order = reading_order(&cells, &edges_of);
    let node = |(row, cell): (&Row, Cell)| Node {
        id: row.id.clone(),
        group: row.group.clone(),
        kind: row.kind,
        column: cell.column,
        row: cell.row,
        look: match (row.enabled, row.failing) {
            (false, _) => Tone::Off,
            (true, true) => Tone::Bad,
            (true, false) => Tone::Plain,
        },
        meta: meta(row),
        next: row.next.iter().map(|next| Next { id: next.id.clone(), on_error: next.on_error }).collect(),
        is_source: row.kind.passes_on(),
        is_target: arrows.iter().any(|arrow| arrow.to == row.id),
    };
    let nodes = order.into_iter().map(|at| node((&rows[at], cells[at]))).collect();
    Drawn { nodes, edges, bands }
}

/// An arrow with its label around that point.
fn edge((line, width): (Line, usize), (look, label): (Tone, String), (x, y): (usize, usize)) -> Edge {
    Edge {
        path: line.path,
        tips: line.tips,
        look,
        label,
        label_width: width,
        label_x: x.saturating_sub(width / 2),
        label_y: y - 10,
        text_x: x,
        text_y: y + 4,
    }
}

/// `FTP Server, 84 in 24 h, 1 live`.
fn meta(row: &Row) -> String {
    let live = if row.sessions > 0 { format!(", {} live", row.sessions) } else { String::new() };
    format!("{}, {} in 24 h{live}", row.kind.label(), row.today)
}
