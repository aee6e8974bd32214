//! Components of a file, built from its lines. A line that does not fit is refused with its number,
//! and the rest of the file is still read.

use std::collections::HashSet;

use super::{
    BoundedList, Note, Refused,
    lines::{Line, unfold},
    property::{self, Property},
    shown,
};

/// Calendar, event and alarm are three.
const MAX_DEPTH: usize = 8;
/// Components of one file: 1,000 entries with alarms have far fewer. Without this limit, a file of
/// the largest size could begin hundreds of thousands.
const MAX_COMPONENTS: usize = 20_000;
/// Properties that are read from one file.
const MAX_PROPERTIES: usize = 100_000;
/// Lines that are refused one by one; a file that is no calendar has many more.
const MAX_REFUSED_LINES: usize = 100;
const TOO_MUCH: &str =
    "the file has more than 100,000 properties; this line and those after it are not read";
/// Components that occur only directly in a `VCALENDAR`: the start of one ends an earlier one that
/// has no `END`.
const OF_CALENDAR: [&str; 6] =
    ["VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY", "VTIMEZONE", "VAVAILABILITY"];

/// A component with its properties and nested components.
#[derive(Debug, Default)]
pub(super) struct Component {
    /// Name, in upper case.
    pub(super) name: String,
    /// The line on which it begins.
    pub(super) line: usize,
    /// Properties that are read, in their order.
    pub(super) properties: Vec<Property>,
    /// Properties for people that a reminder has no field for: the line and the name.
    pub(super) left_out: Vec<(usize, String)>,
    /// The components in it, in their order.
    pub(super) components: Vec<Self>,
    /// `true` if the component has an `END`.
    pub(super) is_ended: bool,
}

impl Component {
    /// The first property of a name.
    pub(super) fn one(&self, name: &str) -> Option<&Property> {
        self.properties.iter().find(|property| property.name == name)
    }

    /// Parts that are left out because a reminder has no field for them, or has one of its kind:
    /// the line and the reason.
    pub(super) fn parts_left_out(&self) -> impl Iterator<Item = (usize, String)> {
        let for_people = self.left_out.iter().map(|(line, name)| {
            (*line, format!("{name} was left out: a reminder has nothing like it"))
        });
        let mut known = HashSet::new();
        let single = self.properties.iter().filter(|one| property::occurs_once(&one.name));
        let repeated = single.filter_map(move |property| {
            let text = || format!("another {} was left out: the first counts", property.name);
            (!known.insert(property.name.as_str())).then(|| (property.line, text()))
        });
        let nested = self.components.iter().filter(|child| child.name != "VALARM");
        let nested =
            nested.map(|child| (child.line, format!("{} in it was left out", shown(&child.name))));
        for_people.chain(repeated).chain(nested)
    }

    /// The UID; `None` if it is empty.
    pub(super) fn uid(&self) -> Option<&str> {
        self.one("UID").map(|property| property.value.trim()).filter(|uid| !uid.is_empty())
    }

    /// All properties of a name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Property> {
        self.properties.iter().filter(move |property| property.name == name)
    }
}

/// The components of a file.
#[derive(Debug, Default)]
pub(super) struct Components {
    /// Components at the top level.
    pub(super) roots: Vec<Component>,
    /// Lines that belong to no component.
    pub(super) refused: Vec<Refused>,
    /// Lines that are only partly readable.
    pub(super) notes: BoundedList<Note>,
    open: Vec<Component>,
    /// Number of properties read so far.
    properties: usize,
    /// `true` if the file has more than [`MAX_PROPERTIES`].
    is_cut_off: bool,
    /// Number of open components that are not read: nested too deep, or beyond the limit.
    too_deep: usize,
    begun: usize,
    refused_lines: usize,
}

impl Components {
    /// Reads a file.
    pub(super) fn read(file: &[u8]) -> Self {
        let mut components = Self::default();
        for line in unfold(file) {
            components.take(&line);
            if components.is_cut_off {
                components.refused.push(Refused {
                    line: line.number,
                    uid: None,
                    summary: None,
                    reason: TOO_MUCH.to_owned(),
                });
                break;
            }
        }
        components.close_to(0);
        components
    }

    fn take(&mut self, line: &Line) {
        let Some((name, rest)) = property::named(&line.text) else {
            return self.refuse(line.number, "is not a property: it has no name and value");
        };
        let value = || rest.trim_start_matches(':').trim().to_ascii_uppercase();
        match name.as_str() {
            "BEGIN" => self.begin(line.number, value()),
            "END" => self.end(line.number, &value()),
            _ if self.too_deep > 0 => {}
            _ if property::is_read(&name) => self.property(line, name, rest),
            _ if self.open.is_empty() => self.refuse(line.number, "is outside of any component"),
            _ if property::is_for_people(&name) && !is_empty(rest) => self.leave_out(line, name),
            _ => {}
        }
    }

    fn property(&mut self, line: &Line, name: String, rest: &str) {
        let Some(component) = self.open.last_mut() else {
            return self.refuse(line.number, "is outside of any component");
        };
        if self.properties == MAX_PROPERTIES {
            self.is_cut_off = true;
            return;
        }
        let Some(property) = Property::parse(line, name, rest) else {
            return self.refuse(line.number, "has parameters that cannot be read");
        };
        if line.damaged {
            let text = || {
                format!(
                    "{} is not written in UTF-8: some of its characters are lost",
                    property.name
                )
            };
            self.notes.add(|| Note { line: line.number, uid: None, text: text() });
        }
        component.properties.push(property);
        self.properties += 1;
    }

    fn leave_out(&mut self, line: &Line, name: String) {
        if self.properties == MAX_PROPERTIES {
            self.is_cut_off = true;
        } else if let Some(component) = self.open.last_mut() {
            component.left_out.push((line.number, name));
            self.properties += 1;
        }
    }

    fn begin(&mut self, line: usize, name: String) {
        self.begun += 1;
        if self.begun > MAX_COMPONENTS {
            if self.begun == MAX_COMPONENTS + 1 {
                let reason = format!(
                    "the file has more than {MAX_COMPONENTS} components; the rest is not read"
                );
                self.refused.push(Refused { line, uid: None, summary: None, reason });
            }
            self.too_deep += 1;
            return;
        }
        if name == "VCALENDAR" {
            self.close_to(0);
        } else if OF_CALENDAR.contains(&name.as_str())
            && let Some(other) =
                self.open.iter().position(|open| OF_CALENDAR.contains(&open.name.as_str()))
        {
            self.close_to(other);
        }
        if self.open.len() < MAX_DEPTH {
            self.open.push(Component { name, line, ..Component::default() });
        } else {
            if self.too_deep == 0 {
                self.refuse(line, "begins a component that is nested too deep");
            }
            self.too_deep += 1;
        }
    }

    fn end(&mut self, line: usize, name: &str) {
        if self.too_deep > 0 {
            self.too_deep -= 1;
            return;
        }
        let Some(depth) = self.open.iter().rposition(|open| open.name == name) else {
            return self.refuse(line, "ends a component that did not begin");
        };
        self.close_to(depth + 1);
        if let Some(component) = self.open.last_mut() {
            component.is_ended = true;
        }
        self.close_to(depth);
    }

    /// Closes open components until `depth` of them are left.
    fn close_to(&mut self, depth: usize) {
        self.too_deep = 0;
        while self.open.len() > depth
            && let Some(component) = self.open.pop()
        {
            let siblings =
                self.open.last_mut().map_or(&mut self.roots, |parent| &mut parent.components);
            siblings.push(component);
        }
    }

    fn refuse(&mut self, line: usize, problem: &str) {
        self.refused_lines += 1;
        if self.refused_lines > MAX_REFUSED_LINES {
            return;
        }
        let more = if self.refused_lines == MAX_REFUSED_LINES {
            "; later lines of this kind are not listed"
        } else {
            ""
        };
        let reason = shown(&format!("line {line} {problem}{more}"));
        self.refused.push(Refused { line, uid: None, summary: None, reason });
    }
}

/// Returns `true` if nothing follows the last colon of a property.
fn is_empty(rest: &str) -> bool {
    rest.rsplit_once(':').is_none_or(|(_, value)| value.trim().is_empty())
}
