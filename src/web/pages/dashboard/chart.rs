//! Bytes per minute, received above and sent below one axis: an SVG drawn by the server, and the same as a table.

use askama::Template;

use super::{Asked, at};
use crate::base::clock::Timestamp;
use crate::base::human;
use crate::store::traffic::{self, Traffic, minute};
use crate::store::transfer::Direction;
use crate::web::context::Context;
use crate::web::error::WebError;

/// The spans: name, words, number of bars and minutes per bar.
const SPANS: [(&str, &str, i64, i64); 3] =
    [("1h", "1 hour", 60, 1), ("24h", "24 hours", 60, 24), ("7d", "7 days", 56, 180)];
/// The picture's width in its own units.
const WIDTH: i64 = 600;
/// The place of the axis, and how far bars reach above and below it. One scale for both.
const AXIS: i64 = 120;
const ABOVE: i64 = 116;
const BELOW: i64 = 58;
/// Tenths of a unit, so that fractions of a pixel need no float.
const FINE: i64 = 10;

/// A choice of span.
#[derive(Clone, Debug)]
pub struct Span {
    /// Its words.
    pub words: &'static str,
    /// Its address.
    pub address: String,
    /// Whether it is shown.
    pub chosen: bool,
}

/// One bar: `x`, `y`, width and height in the picture's units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    /// `in` or `out`.
    pub class: &'static str,
    /// From the left edge.
    pub x: String,
    /// From the top edge.
    pub y: String,
    /// Its width.
    pub width: String,
    /// Its height.
    pub height: String,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The beginning of its time.
    pub at: String,
    /// Bytes received per minute.
    pub received: String,
    /// Bytes sent per minute.
    pub sent: String,
}

/// The chart.
#[derive(Clone, Debug, Template)]
#[template(path = "parts/chart.html")]
pub struct Chart {
    spans: Vec<Span>,
    words: String,
    bars: Vec<Bar>,
    lines: Vec<Line>,
    as_table: bool,
    other_view: String,
    top: String,
    middle: String,
    bottom: String,
    times: Vec<String>,
}

/// Bytes per minute of one bar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rate {
    received: u64,
    sent: u64,
}

impl Chart {
    /// The present chart.
    pub async fn now(context: &Context, asked: &Asked) -> Result<Self, WebError> {
        let span = SPANS.iter().find(|(name, ..)| *name == asked.span).unwrap_or(&SPANS[0]);
        let (name, words, count, minutes) = *span;
        // Bars are aligned to multiples of their length since 1970, so that their borders do not move every minute.
        let last = minute(context.now()).div_euclid(minutes) * minutes;
        let first = last - (count - 1) * minutes;
        let moved = traffic::sums(&context.state.db, first, minutes).await?;
        let rates = rates(&moved, minutes, count);
        let view = if asked.view == "table" { "table" } else { "" };
        let span = |(of, words, ..): &(&str, &'static str, i64, i64)| Span {
            words,
            address: at(of, view),
            chosen: *of == name,
        };
        let most = |of: fn(&Rate) -> u64| rates.iter().map(of).max().unwrap_or(0);
        let top = top(most(|rate| rate.received), most(|rate| rate.sent));
        Ok(Self {
            spans: SPANS.iter().map(span).collect(),
            words: said(&rates, first, minutes, words),
            bars: bars(&rates, top),
            lines: lines(&rates, first, minutes),
            as_table: view == "table",
            other_view: at(name, if view == "table" { "" } else { "table" }),
            top: human::size(top),
            middle: human::size(top / 2),
            bottom: human::size(top / 2),
            times: (0..4).map(|quarter| clock(first + quarter * count / 4 * minutes, minutes)).collect(),
        })
    }
}

fn rates(moved: &[Traffic], minutes: i64, count: i64) -> Vec<Rate> {
    let mut sums = vec![Rate::default(); usize::try_from(count).unwrap_or(0)];
    for one in moved {
        let Some(sum) = usize::try_from(one.span).ok().and_then(|bar| sums.get_mut(bar)) else { continue };
        match one.direction {
            Direction::Receive => sum.received += one.bytes,
            Direction::Send => sum.sent += one.bytes,
        }
    }
    let minutes = minutes.unsigned_abs();
    for sum in &mut sums {
        *sum = Rate { received: sum.received / minutes, sent: sum.sent / minutes };
    }
    sums
}

/// The number at the top of the scale: 1, 2 or 5 with zeros, with room for both directions.
fn top(received: u64, sent: u64) -> u64 {
    let needed = received.max(sent.saturating_mul(2)).max(2_000);
    let mut ten = 1_000_u64;
    loop {
        for step in [1, 2, 5] {
            if ten.saturating_mul(step) >= needed {
                return ten.saturating_mul(step);
            }
        }
        ten = ten.saturating_mul(10);
    }
}

fn bars(rates: &[Rate], top: u64) -> Vec<Bar> {
    let slot = WIDTH * FINE / i64::try_from(rates.len()).unwrap_or(1).max(1);
    let mut bars = Vec::new();
    for (index, rate) in (0..).zip(rates) {
        let (x, width) = (fine(index * slot + slot / 8), fine(slot - slot / 4));
        let above = height(rate.received, top, ABOVE);
        if above > 0 {
            bars.push(Bar {
                class: "in",
                x: x.clone(),
                y: fine(AXIS * FINE - above),
                width: width.clone(),
                height: fine(above),
            });
        }
        let below = height(rate.sent, top / 2, BELOW);
        if below > 0 {
            bars.push(Bar { class: "out", x, y: fine(AXIS * FINE + FINE), width, height: fine(below) });
        }
    }
    bars
}

/// A bar's height in tenths; any movement at all is visible.
fn height(bytes: u64, top: u64, whole: i64) -> i64 {
    if bytes == 0 {
        return 0;
    }
    let whole = u128::from((whole * FINE).unsigned_abs());
    let tenths = u128::from(bytes) * whole / u128::from(top.max(1));
    i64::try_from(tenths.min(whole)).unwrap_or(0).max(FINE)
}

fn fine(tenths: i64) -> String {
    format!("{}.{}", tenths / FINE, tenths % FINE)
}

/// The time of a bar; with its day if a bar is longer than a few minutes.
fn clock(minute: i64, minutes: i64) -> String {
    let at = Timestamp::from_us(minute.saturating_mul(60_000_000)).calendar();
    at.strftime(if minutes > 60 { "%-d %b, %H:%M" } else { "%H:%M" }).to_string()
}

fn said(rates: &[Rate], first: i64, minutes: i64, span: &str) -> String {
    let peak = |what: &str, of: fn(&Rate) -> u64| {
        let (index, rate) = (0..).zip(rates).max_by_key(|(_, rate)| of(rate))?;
        let at = clock(first + index * minutes, minutes);
        (of(rate) > 0).then(|| format!("{what} peaks at {} a minute at {at} UTC", human::size(of(rate))))
    };
    let peaks = [peak("received", |rate| rate.received), peak("sent", |rate| rate.sent)];
    let peaks: Vec<_> = peaks.into_iter().flatten().collect();
    let span = if span == "1 hour" { "hour" } else { span };
    if peaks.is_empty() {
        format!("Bytes a minute over the last {span}: nothing was moved.")
    } else {
        format!("Bytes a minute over the last {span}: {}.", peaks.join("; "))
    }
}

fn lines(rates: &[Rate], first: i64, minutes: i64) -> Vec<Line> {
    let line = |(index, rate): (i64, &Rate)| Line {
        at: clock(first + index * minutes, minutes),
        received: human::size(rate.received),
        sent: human::size(rate.sent),
    };
    let mut lines: Vec<_> = (0..).zip(rates).map(line).collect();
    lines.reverse();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_fall_into_their_bars_and_out_of_range_ones_nowhere() {
        let moved = |span, direction, bytes| Traffic { span, direction, bytes, files: 1 };
        let all = [
            moved(-1, Direction::Receive, 7),
            moved(0, Direction::Receive, 480),
            moved(1, Direction::Send, 48),
            moved(2, Direction::Send, 9),
        ];
        let rates = rates(&all, 24, 2);
        assert_eq!(rates, [Rate { received: 20, sent: 0 }, Rate { received: 0, sent: 2 }]);
    }

    #[test]
    fn the_scale_is_a_round_number_with_room_for_both() {
        assert_eq!([top(0, 0), top(2_001, 0), top(548_000_000, 210_000_000)], [2_000, 5_000, 1_000_000_000]);
        assert_eq!(top(0, 600), 2_000);
        let rates = [Rate { received: 1_000, sent: 500 }, Rate { received: 1, sent: 0 }];
        let bars = bars(&rates, 1_000);
        assert_eq!(bars.len(), 3);
        assert_eq!((bars[0].y.as_str(), bars[0].height.as_str()), ("4.0", "116.0"));
        assert_eq!((bars[1].y.as_str(), bars[1].height.as_str()), ("121.0", "58.0"));
        assert_eq!(bars[2].height, "1.0", "a single byte is seen");
    }

    #[test]
    fn the_peak_is_told_in_words() {
        let rates = [Rate::default(), Rate { received: 548_000_000, sent: 0 }];
        let said = said(&rates, 560, 1, "1 hour");
        assert_eq!(said, "Bytes a minute over the last hour: received peaks at 548 MB a minute at 09:21 UTC.");
        assert_eq!(super::said(&[], 0, 1, "7 days"), "Bytes a minute over the last 7 days: nothing was moved.");
    }
}
