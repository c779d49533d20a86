//! The layout of the flow map's cards and arrows: computed only from columns and rows, so that there is nothing to tidy
//! and nothing to store. The numbers match the style sheet.

use std::collections::{HashMap, HashSet};

/// Columns in the style sheet; cards farther away are in the last one.
pub const COLUMNS_MAX: usize = 5;
/// Rows in the style sheet.
pub const ROWS_MAX: usize = 60;
/// A card's width, and the distance between columns.
const CARD_WIDTH: usize = 240;
const COLUMN_WIDTH: usize = CARD_WIDTH + 88;
/// The distance between rows, and the middle of a card.
const ROW_HEIGHT: usize = 84 + 24;
const MIDDLE: usize = 42;
/// Where an arrow begins behind a card, and where its line and its tip end before the next.
const BEGINS: usize = 6;
const LINE_ENDS: usize = 15;
const TIP_ENDS: usize = 8;
/// The distance between the middles of two labels, one below the other.
const LABEL_HEIGHT: usize = 22;
/// How far the curve goes straight on at least.
const STRAIGHT_MIN: usize = 37;

/// The place of a card, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cell {
    /// Column.
    pub column: usize,
    /// Row.
    pub row: usize,
}

/// A drawn arrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The curve.
    pub path: String,
    /// Its tips: one, or two if both pass along to each other.
    pub tips: Vec<String>,
    /// Possible places for the middle of its label, the best first.
    pub spots: [(usize, usize); 7],
}

/// The cell of each of `nodes`, in order. Column: the longest way from a source. Rows: band by band, where `bands`
/// gives the band of each, and within a band near their predecessors, in two sweeps of the median rule, so that few
/// arrows cross.
pub fn cells(nodes: &[String], arrows: &[(String, String)], bands: &[usize]) -> Vec<Cell> {
    let index: HashMap<&str, usize> = nodes.iter().enumerate().map(|(i, key)| (key.as_str(), i)).collect();
    let mut edges: Vec<(usize, usize)> =
        arrows.iter().filter_map(|(a, b)| Some((*index.get(a.as_str())?, *index.get(b.as_str())?))).collect();
    edges.sort_unstable();
    edges.dedup();
    let edges = without_cycles(nodes.len(), &edges);
    let mut column = vec![1; nodes.len()];
    // Each round settles at least the next column.
    for _ in 1..COLUMNS_MAX {
        for (from, to) in &edges {
            column[*to] = column[*to].max(column[*from] + 1).min(COLUMNS_MAX);
        }
    }
    let mut row = vec![0; nodes.len()];
    let mut above = 0;
    for band in 0..=bands.iter().copied().max().unwrap_or(0) {
        let members: Vec<usize> = (0..nodes.len()).filter(|node| bands[*node] == band).collect();
        let within: Vec<_> = edges.iter().filter(|(a, b)| bands[*a] == band && bands[*b] == band).copied().collect();
        rows_of_band(&members, &within, &column, &mut row);
        for node in &members {
            row[*node] += above;
        }
        above = members.iter().map(|node| row[*node]).max().unwrap_or(above);
    }
    column.into_iter().zip(row).map(|(column, row)| Cell { column, row }).collect()
}

/// The order of the cards in the page, for narrow screens and screen readers: each followed by its successors in the
/// next column, unless another card has placed them before. So an indented card belongs to the one above it.
pub fn reading_order(cells: &[Cell], edges: &[(usize, usize)]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..cells.len()).collect();
    places.sort_by_key(|node| (cells[*node].column, cells[*node].row));
    let mut order = Vec::new();
    for start in &places {
        let mut way = vec![*start];
        while let Some(node) = way.pop() {
            if order.contains(&node) {
                continue;
            }
            order.push(node);
            let column = (cells[node].column + 1).min(COLUMNS_MAX);
            let leads = |next: &&usize| cells[**next].column == column && edges.contains(&(node, **next));
            way.extend(places.iter().rev().filter(leads));
        }
    }
    order
}

/// Gives each member of a band its row, from 1.
fn rows_of_band(members: &[usize], edges: &[(usize, usize)], column: &[usize], row: &mut [usize]) {
    let mut columns: Vec<Vec<usize>> = vec![Vec::new(); COLUMNS_MAX];
    for node in members {
        columns[column[*node] - 1].push(*node);
    }
    for nodes in &columns {
        nodes.iter().enumerate().for_each(|(at, node)| row[*node] = at + 1);
    }
    for forward in [true, false, true] {
        let order: Vec<usize> = if forward { (0..COLUMNS_MAX).collect() } else { (0..COLUMNS_MAX).rev().collect() };
        for at in order {
            place(&mut columns[at], row, |node| {
                let beside = |(from, to): &(usize, usize)| match forward {
                    true if *to == node => Some(*from),
                    false if *from == node => Some(*to),
                    _ => None,
                };
                edges.iter().filter_map(beside).collect()
            });
        }
    }
    // Empty rows are removed: then there are never more than members, and the style sheet has that many.
    let mut used: Vec<_> = members.iter().map(|node| row[*node]).collect();
    used.sort_unstable();
    used.dedup();
    for node in members {
        row[*node] = used.partition_point(|one| *one < row[*node]) + 1;
    }
}

/// The frame around a band's rows: place and size.
pub fn frame(first_row: usize, last_row: usize, columns: usize) -> Frame {
    let y = i64::try_from((first_row - 1) * ROW_HEIGHT).unwrap_or(i64::MAX) - 20;
    let height = (last_row + 1 - first_row) * ROW_HEIGHT - 1;
    Frame { x: -20, y, width: columns * COLUMN_WIDTH - 88 + 40, height }
}

/// A frame on the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Left of the first column.
    pub x: i64,
    /// Above its first row.
    pub y: i64,
    /// Its width.
    pub width: usize,
    /// Its height.
    pub height: usize,
}

/// Orders one column by the median row of each node's neighbours, and gives each a row of its own.
fn place(column: &mut [usize], row: &mut [usize], joined: impl Fn(usize) -> Vec<usize>) {
    let wanted = |node: usize, row: &[usize]| {
        let mut rows: Vec<_> = joined(node).into_iter().map(|other| row[other]).collect();
        rows.sort_unstable();
        rows.get(rows.len().saturating_sub(1) / 2).copied().unwrap_or(row[node])
    };
    let mut order: Vec<_> = column.iter().map(|node| (wanted(*node, row), row[*node], *node)).collect();
    order.sort_unstable();
    let mut next = 1;
    for (at, (wish, _, node)) in order.into_iter().enumerate() {
        column[at] = node;
        row[node] = wish.max(next);
        next = row[node] + 1;
    }
}

/// The arrows except those that lead back to where a way began.
fn without_cycles(nodes: usize, edges: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut next: HashMap<usize, Vec<usize>> = HashMap::new();
    for (from, to) in edges {
        next.entry(*from).or_default().push(*to);
    }
    let has_source: HashSet<usize> = edges.iter().map(|(_, to)| *to).collect();
    // Sources first: then an arrow back is one that closes a cycle.
    let mut starts: Vec<usize> = (0..nodes).collect();
    starts.sort_by_key(|node| (has_source.contains(node), *node));
    let (mut done, mut kept) = (HashSet::new(), Vec::new());
    for start in starts {
        let mut way = vec![(start, 0)];
        let mut on_way = HashSet::from([start]);
        if !done.insert(start) {
            continue;
        }
        while let Some((node, at)) = way.last_mut() {
            let Some(to) = next.get(node).and_then(|next| next.get(*at)).copied() else {
                on_way.remove(node);
                way.pop();
                continue;
            };
            *at += 1;
            if on_way.contains(&to) {
                continue;
            }
            kept.push((*node, to));
            if done.insert(to) {
                on_way.insert(to);
                way.push((to, 0));
            }
        }
    }
    kept
}

/// The arrow from one card to another.
pub fn line(from: Cell, to: Cell, both_ways: bool) -> Line {
    let left = |cell: Cell| (cell.column - 1) * COLUMN_WIDTH;
    let y = |cell: Cell| MIDDLE + (cell.row - 1) * ROW_HEIGHT;
    // An arrow within its column or backwards still leaves on the right and arrives on the left, around the cards.
    let (x0, x1) = (left(from) + CARD_WIDTH + BEGINS, left(to).saturating_sub(LINE_ENDS));
    let (y0, y1) = (y(from), y(to));
    let straight = (x1.saturating_sub(x0) / 2).max(STRAIGHT_MIN);
    let (c0, c1) = (x0 + straight + 9, x1.saturating_sub(straight));
    let path = format!("M{x0} {y0}C{c0} {y0} {c1} {y1} {x1} {y1}");
    let mut tips = vec![format!("M{} {y1}l-9 -5v10z", left(to).saturating_sub(TIP_ENDS))];
    if both_ways {
        tips.push(format!("M{} {y0}l9 -5v10z", x0 - 4));
    }
    // The point of the curve after that many eighths of it.
    let point = |n: usize| {
        let weights = [(8 - n).pow(3), 3 * n * (8 - n).pow(2), 3 * n.pow(2) * (8 - n), n.pow(3)];
        let along =
            |points: [usize; 4]| weights.iter().zip(points).map(|(weight, at)| weight * at).sum::<usize>() / 512;
        (along([x0, c0, c1, x1]), along([y0, y0, y1, y1]))
    };
    Line { path, tips, spots: [4, 3, 5, 2, 6, 1, 7].map(point) }
}

/// The middle and the width of something written on the map.
pub type Written = ((usize, usize), usize);

/// The middle of a label for each line, on its curve and beside the other labels and what is `written` already,
/// wherever there is room. The shortest lines have the fewest choices, so they come first.
pub fn labels(lines: &[(Line, usize)], written: &[Written]) -> Vec<(usize, usize)> {
    let spread = |line: &Line| line.spots[5].1.abs_diff(line.spots[6].1);
    let mut order: Vec<_> = (0..lines.len()).collect();
    order.sort_by_key(|at| spread(&lines[*at].0));
    let mut placed = written.to_vec();
    let mut middles = vec![(0, 0); lines.len()];
    for at in order {
        let (line, width) = &lines[at];
        let is_free = |(x, y): &(usize, usize)| {
            let hits = |((other_x, other_y), other_width): &Written| {
                x.abs_diff(*other_x) * 2 < width + other_width && y.abs_diff(*other_y) < LABEL_HEIGHT
            };
            !placed.iter().any(hits)
        };
        middles[at] = line.spots.into_iter().find(is_free).unwrap_or(line.spots[0]);
        placed.push((middles[at], *width));
    }
    middles
}

/// Where the name of a band stands in its frame; nothing passes above the first.
pub fn name_of(frame: Frame, name: &str) -> Option<Written> {
    // Bold letters are wider than those of a label.
    let width = name.chars().count() * 15 / 2;
    Some(((width / 2, usize::try_from(frame.y + 10).ok()?), width + 24))
}

/// The width of a label's frame, by its characters.
pub fn label_width(text: &str) -> usize {
    15 + text.chars().count() * 13 / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn pairs(arrows: &[(&str, &str)]) -> Vec<(String, String)> {
        arrows.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn a_column_is_the_longest_way_from_a_source() {
        let nodes = keys(&["acme", "archive", "cold", "globex", "erp"]);
        let arrows = pairs(&[("acme", "archive"), ("globex", "archive"), ("archive", "cold"), ("acme", "cold")]);
        let cells = cells(&nodes, &arrows, &[0; 5]);
        assert_eq!(cells.iter().map(|cell| cell.column).collect::<Vec<_>>(), [1, 2, 3, 1, 1]);
        // Two partners that pass along to each other are side by side.
        let both = super::cells(&keys(&["a", "b"]), &pairs(&[("a", "b"), ("b", "a")]), &[0; 2]);
        assert_eq!(both.iter().map(|cell| cell.column).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn who_reads_meets_a_card_after_one_that_leads_to_it() {
        let cell = |column, row| Cell { column, row };
        let cells = [cell(1, 1), cell(2, 1), cell(1, 2), cell(2, 2), cell(3, 1)];
        // 2 leads to 1 and 3, 3 to 4, 0 to none; arrows backwards or across columns do not matter.
        let order = reading_order(&cells, &[(2, 1), (2, 3), (3, 4), (4, 2), (2, 4)]);
        assert_eq!(order, [0, 2, 1, 3, 4]);
    }

    #[test]
    fn a_band_has_rows_of_its_own_below_the_one_before() {
        let nodes = keys(&["a", "archive", "b", "c"]);
        let arrows = pairs(&[("a", "archive"), ("b", "archive"), ("c", "archive")]);
        let cells = cells(&nodes, &arrows, &[1, 0, 1, 2]);
        let places: Vec<_> = cells.iter().map(|cell| (cell.column, cell.row)).collect();
        assert_eq!(places, [(1, 2), (2, 1), (1, 3), (1, 4)]);
        assert_eq!(frame(2, 3, 2), Frame { x: -20, y: 88, width: 608, height: 215 });
    }

    #[test]
    fn an_arrow_goes_from_a_card_to_the_next() {
        let line = line(Cell { column: 1, row: 1 }, Cell { column: 2, row: 2 }, false);
        assert_eq!(line.path, "M246 42C292 42 276 150 313 150");
        assert_eq!(line.tips, ["M320 150l-9 -5v10z"]);
        assert_eq!((line.spots[0], label_width("84")), ((282, 96), 28));
    }

    #[test]
    fn no_label_lies_on_another_while_there_is_room() {
        let cell = |column, row| Cell { column, row };
        // Two lines that cross in the middle, and a horizontal one there.
        let lines = [(1, 3), (3, 1), (2, 2)].map(|(from, to)| (line(cell(1, from), cell(2, to), false), 28));
        let middles = labels(&lines, &[]);
        assert_eq!(middles[2], (282, 150), "what is level has one place");
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            assert!(middles[a].1.abs_diff(middles[b].1) >= 22, "{middles:?}");
        }
        assert!(
            lines.iter().zip(&middles).all(|((line, _), middle)| line.spots.contains(middle)),
            "each is on its line"
        );
    }

    #[test]
    fn no_label_lies_on_the_name_of_a_group() {
        let lines = [(line(Cell { column: 1, row: 1 }, Cell { column: 2, row: 2 }, false), 28)];
        let below = frame(2, 2, 2);
        let at = |name: &str| labels(&lines, name_of(below, name).as_slice())[0];
        assert_eq!(at("Retail"), (282, 96), "beside a short name");
        let (_, y) = at(&"a long name ".repeat(5));
        assert!(y.abs_diff(98) >= 22, "{y}");
        assert_eq!(name_of(frame(1, 1, 2), "Retail"), None);
    }

    proptest! {
        /// Whatever the arrows, cycles included: no two cards in one place, and none outside the map.
        #[test]
        fn no_two_cards_share_a_place(
            arrows in proptest::collection::vec((0_usize..12, 0_usize..12), 0..40),
            bands in proptest::collection::vec(0_usize..3, 12),
        ) {
            let nodes: Vec<_> = (0..12).map(|n| format!("n{n}")).collect();
            let arrows: Vec<_> = arrows.into_iter().filter(|(a, b)| a != b)
                .map(|(a, b)| (format!("n{a}"), format!("n{b}"))).collect();
            let cells = cells(&nodes, &arrows, &bands);
            let index = |key: &String| nodes.iter().position(|node| node == key).unwrap();
            let edges: Vec<_> = arrows.iter().map(|(a, b)| (index(a), index(b))).collect();
            let mut read = reading_order(&cells, &edges);
            for (at, node) in read.iter().enumerate().filter(|(_, node)| cells[**node].column > 1) {
                let before = |other: &usize| edges.contains(&(*other, *node)) && cells[*other].column + 1 >= cells[*node].column;
                prop_assert!(read[..at].iter().any(before));
            }
            read.sort_unstable();
            prop_assert_eq!(read, (0..nodes.len()).collect::<Vec<_>>());
            let places: HashSet<_> = cells.iter().collect();
            prop_assert_eq!(places.len(), nodes.len());
            prop_assert!(cells.iter().all(|cell| (1..=COLUMNS_MAX).contains(&cell.column)
                && (1..=nodes.len()).contains(&cell.row)));
            for (cell, band) in cells.iter().zip(&bands) {
                let below = cells.iter().zip(&bands).filter(|(_, other)| *other > band);
                prop_assert!(below.into_iter().all(|(other, _)| other.row > cell.row));
            }
        }
    }
}
