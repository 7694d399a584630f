//! Go's syntax, read from left to right into a tree of `regex-syntax`.
//!
//! Groups are kept on a stack of our own, so that hostile nesting cannot exhaust the thread's, and every
//! step that moves nodes or copies text is counted, so that it cannot cost quadratic time either.
//! Captures leave no trace in the tree: only whether the whole value matches is asked.

use super::class::{self, Built};
use super::cursor::{Cursor, Fault, too_deep, too_large};
use super::limits::{MAX_BUILD_STEPS, MAX_DEPTH, MAX_NODES, MAX_OPEN_GROUPS, MAX_PATTERN_BYTES, MAX_REPEAT};
use super::repeat::Counts;
use crate::Result;
use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Dot, Hir, HirKind, Look, Repetition};

pub(super) fn parse(pattern: &str) -> Result<Hir> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(too_large("regex_pattern_bytes", MAX_PATTERN_BYTES as u64));
    }
    Parser::new(pattern).run()
}

/// What `(?...)` switches. Greediness is read, but means nothing here.
#[derive(Clone, Copy)]
struct Flags {
    fold_case: bool,
    multi_line: bool,
    dot_newline: bool,
}

/// A part of the tree, with what the limits look at.
struct Node {
    hir: Hir,
    height: u32,
    /// Most copies of anything in it that nested `{n}` make.
    copies: u32,
}

impl Node {
    fn leaf(hir: Hir) -> Self {
        Node { hir, height: 1, copies: 1 }
    }

    /// Its height as a part of something: what is of the same kind is merged into that.
    fn height_as_part(&self, is_same_kind: bool) -> u32 {
        if is_same_kind { self.height } else { self.height + 1 }
    }
}

/// An open group, or the whole pattern.
struct Group {
    flags_outside: Flags,
    /// What stands before the bars so far.
    branches: Vec<Node>,
    /// What stands after the last bar, up to `text`.
    parts: Vec<Node>,
    /// Plain characters since the last part.
    text: String,
}

impl Group {
    fn new(flags_outside: Flags) -> Self {
        Group { flags_outside, branches: Vec::new(), parts: Vec::new(), text: String::new() }
    }
}

struct Parser<'p> {
    pattern: &'p str,
    cursor: Cursor<'p>,
    flags: Flags,
    /// Groups around the innermost one.
    outer: Vec<Group>,
    group: Group,
    nodes: u32,
    steps: u64,
    /// See [`class::bracket`].
    no_posix: bool,
}

impl<'p> Parser<'p> {
    fn new(pattern: &'p str) -> Self {
        let flags = Flags { fold_case: false, multi_line: false, dot_newline: true };
        let group = Group::new(flags);
        let (cursor, outer) = (Cursor::new(pattern), Vec::new());
        Parser { pattern, cursor, flags, outer, group, nodes: 0, steps: 0, no_posix: false }
    }

    fn run(mut self) -> Result<Hir> {
        // Where the repetition operator just before began.
        let mut repeat_before: Option<Cursor<'p>> = None;
        while let Some(c) = self.cursor.peek() {
            let start = self.cursor;
            let mut is_repeat = false;
            match c {
                '*' | '+' | '?' | '{' => match Counts::read(&mut self.cursor)? {
                    Some(counts) => {
                        self.repeat(counts, start, repeat_before)?;
                        is_repeat = true;
                    }
                    None => self.plain()?,
                },
                '(' => self.open()?,
                ')' => self.close()?,
                '|' => {
                    self.cursor.next();
                    self.end_branch()?;
                }
                '[' => {
                    let fold = self.flags.fold_case;
                    let built = class::bracket(&mut self.cursor, fold, &mut self.no_posix)?;
                    self.push_class(built)?;
                }
                '\\' => self.backslash()?,
                '^' | '$' | '.' => self.single(c)?,
                _ => self.plain()?,
            }
            repeat_before = is_repeat.then_some(start);
        }
        if !self.outer.is_empty() {
            return Err(Fault::MissingParen.at(self.pattern));
        }
        Ok(self.finish_group()?.hir)
    }

    fn spend(&mut self, steps: u64) -> Result<()> {
        self.steps += steps;
        if self.steps > MAX_BUILD_STEPS {
            return Err(too_large("regex_build_steps", MAX_BUILD_STEPS));
        }
        Ok(())
    }

    fn push(&mut self, node: Node) -> Result<()> {
        self.end_text()?;
        self.count(&node)?;
        self.group.parts.push(node);
        Ok(())
    }

    fn count(&mut self, node: &Node) -> Result<()> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(too_large("regex_nodes", MAX_NODES.into()));
        }
        if node.height > MAX_DEPTH {
            return Err(too_deep("regex_depth", MAX_DEPTH.into()));
        }
        Ok(())
    }

    /// Turns the plain characters read so far into a part.
    fn end_text(&mut self) -> Result<()> {
        if !self.group.text.is_empty() {
            let text = std::mem::take(&mut self.group.text);
            let node = Node::leaf(Hir::literal(text.into_bytes()));
            self.count(&node)?;
            self.group.parts.push(node);
        }
        Ok(())
    }

    fn plain(&mut self) -> Result<()> {
        match self.cursor.next() {
            Some(c) => self.push_char(c as u32),
            None => Ok(()),
        }
    }

    fn push_char(&mut self, code: u32) -> Result<()> {
        let Some(c) = char::from_u32(code) else {
            // A surrogate: in no valid string.
            return self.push(Node::leaf(Hir::fail()));
        };
        if self.flags.fold_case {
            let variants = class::case_variants(c);
            if variants.literal().is_none() {
                return self.push(Node::leaf(Hir::class(Class::Unicode(variants))));
            }
        }
        self.group.text.push(c);
        Ok(())
    }

    fn push_class(&mut self, built: Built) -> Result<()> {
        self.spend(built.steps)?;
        self.push(Node::leaf(Hir::class(Class::Unicode(built.class))))
    }

    fn push_look(&mut self, look: Look) -> Result<()> {
        self.push(Node::leaf(Hir::look(look)))
    }

    fn single(&mut self, c: char) -> Result<()> {
        self.cursor.next();
        match (c, self.flags.multi_line, self.flags.dot_newline) {
            ('^', false, _) => self.push_look(Look::Start),
            ('^', true, _) => self.push_look(Look::StartLF),
            ('$', false, _) => self.push_look(Look::End),
            ('$', true, _) => self.push_look(Look::EndLF),
            (_, _, true) => self.push(Node::leaf(Hir::dot(Dot::AnyChar))),
            (_, _, false) => self.push(Node::leaf(Hir::dot(Dot::AnyCharExceptLF))),
        }
    }

    fn backslash(&mut self) -> Result<()> {
        let start = self.cursor;
        let mut ahead = self.cursor;
        ahead.next();
        let look = match ahead.next() {
            Some('A') => Look::Start,
            Some('z') => Look::End,
            Some('b') => Look::WordAscii,
            Some('B') => Look::WordAsciiNegate,
            // A single byte: Go refuses it too, what matches is not valid UTF-8.
            Some('C') => return Err(Fault::Escape.at(ahead.since(start))),
            Some('Q') => {
                self.cursor = ahead;
                return self.quoted();
            }
            _ => {
                return match class::escaped(&mut self.cursor, self.flags.fold_case)? {
                    Some(built) => self.push_class(built),
                    None => {
                        let code = self.cursor.escape()?;
                        self.push_char(code)
                    }
                };
            }
        };
        self.cursor = ahead;
        self.push_look(look)
    }

    /// `\Q...\E`; without `\E`, all that follows.
    fn quoted(&mut self) -> Result<()> {
        let text = match self.cursor.until("\\E") {
            Some(text) => text,
            None => self.cursor.finish(),
        };
        text.chars().try_for_each(|c| self.push_char(c as u32))
    }

    /// Applies the operator that was just read, and that began at `start`, to what stands before it.
    fn repeat(&mut self, counts: Counts, start: Cursor<'p>, before: Option<Cursor<'p>>) -> Result<()> {
        self.cursor.eat("?");
        if let Some(before) = before {
            return Err(Fault::RepeatOperator.at(self.cursor.since(before)));
        }
        // Of a run of plain characters only the last is repeated.
        if let Some(last) = self.group.text.pop() {
            self.end_text()?;
            self.group.parts.push(Node::leaf(Hir::literal(last.to_string().into_bytes())));
        }
        let Some(inner) = self.group.parts.pop() else {
            return Err(Fault::RepeatArgument.at(self.cursor.since(start)));
        };
        let node = Node {
            height: inner.height + 1,
            copies: counts.times(inner.copies),
            hir: Hir::repetition(Repetition {
                min: counts.min,
                max: counts.max,
                greedy: true,
                sub: Box::new(inner.hir),
            }),
        };
        if counts.is_checked() && node.copies > MAX_REPEAT {
            return Err(Fault::RepeatCount.at(self.cursor.since(start)));
        }
        self.count(&node)?;
        self.group.parts.push(node);
        Ok(())
    }

    /// `(`, `(?:`, `(?P<name>`, `(?<name>`, `(?flags)` or `(?flags:`.
    fn open(&mut self) -> Result<()> {
        let start = self.cursor;
        let flags_outside = self.flags;
        self.cursor.next();
        if !self.cursor.eat("?") {
            return self.open_group(flags_outside);
        }
        let is_named = ["P<", "<"].iter().any(|mark| {
            // With nothing after it, Go takes the mark for flags.
            let mut ahead = self.cursor;
            ahead.eat(mark) && ahead.peek().is_some() && self.cursor.eat(mark)
        });
        if is_named {
            let name = self.cursor.until(">").ok_or_else(|| Fault::NamedCapture.at(start.rest()))?;
            if name.is_empty() || !name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric()) {
                return Err(Fault::NamedCapture.at(self.cursor.since(start)));
            }
            return self.open_group(flags_outside);
        }
        if self.switch_flags(start)? { self.open_group(flags_outside) } else { Ok(()) }
    }

    fn open_group(&mut self, flags_outside: Flags) -> Result<()> {
        if self.outer.len() >= MAX_OPEN_GROUPS {
            return Err(too_deep("regex_open_groups", MAX_OPEN_GROUPS as u64));
        }
        let inner = Group::new(flags_outside);
        self.outer.push(std::mem::replace(&mut self.group, inner));
        Ok(())
    }

    /// Reads `flags:` (true: a group begins) or `flags)`.
    fn switch_flags(&mut self, start: Cursor<'p>) -> Result<bool> {
        let mut flags = self.flags;
        let mut on = true;
        let mut any_off = false;
        while let Some(c) = self.cursor.next() {
            match c {
                'i' => flags.fold_case = on,
                'm' => flags.multi_line = on,
                's' => flags.dot_newline = on,
                'U' => {}
                '-' if on => {
                    on = false;
                    continue;
                }
                ':' | ')' if on || any_off => {
                    self.flags = flags;
                    return Ok(c == ':');
                }
                _ => break,
            }
            any_off |= !on;
        }
        Err(Fault::PerlOperator.at(self.cursor.since(start)))
    }

    fn close(&mut self) -> Result<()> {
        self.cursor.next();
        let Some(outside) = self.outer.pop() else {
            return Err(Fault::UnexpectedParen.at(self.pattern));
        };
        let node = self.finish_group()?;
        let inside = std::mem::replace(&mut self.group, outside);
        self.flags = inside.flags_outside;
        self.push(node)
    }

    fn end_branch(&mut self) -> Result<()> {
        self.end_text()?;
        let parts = std::mem::take(&mut self.group.parts);
        let branch = self.concatenation(parts)?;
        self.count(&branch)?;
        self.group.branches.push(branch);
        Ok(())
    }

    fn finish_group(&mut self) -> Result<Node> {
        self.end_branch()?;
        let branches = std::mem::take(&mut self.group.branches);
        self.alternation(branches)
    }

    fn concatenation(&mut self, mut parts: Vec<Node>) -> Result<Node> {
        if parts.len() == 1
            && let Some(only) = parts.pop()
        {
            return Ok(only);
        }
        let (mut height, mut copies) = (1, 1);
        for part in &parts {
            let is_concat = matches!(part.hir.kind(), HirKind::Concat(_));
            height = height.max(part.height_as_part(is_concat));
            copies = copies.max(part.copies);
            self.spend(size(&part.hir))?;
        }
        let hir = Hir::concat(parts.into_iter().map(|part| part.hir).collect());
        Ok(Node { hir, height, copies })
    }

    /// Their order has no meaning here, so everything that is one character goes into one class.
    fn alternation(&mut self, mut branches: Vec<Node>) -> Result<Node> {
        if branches.len() == 1
            && let Some(only) = branches.pop()
        {
            return Ok(only);
        }
        let (mut height, mut copies) = (1, 1);
        let mut rest = Vec::with_capacity(branches.len());
        let mut chars = Vec::new();
        let mut classes = 0;
        for branch in branches {
            let is_alternation = matches!(branch.hir.kind(), HirKind::Alternation(_));
            height = height.max(branch.height_as_part(is_alternation));
            copies = copies.max(branch.copies);
            self.spend(size(&branch.hir))?;
            let flat = if is_alternation {
                match branch.hir.into_kind() {
                    HirKind::Alternation(subs) => subs,
                    _ => Vec::new(),
                }
            } else {
                vec![branch.hir]
            };
            for hir in flat {
                match char_ranges(&hir) {
                    Some(ranges) => {
                        classes += 1;
                        self.spend(ranges.len() as u64)?;
                        chars.extend(ranges);
                    }
                    None => rest.push(hir),
                }
            }
        }
        if classes > 0 {
            rest.push(Hir::class(Class::Unicode(ClassUnicode::new(chars))));
        }
        Ok(Node { hir: Hir::alternation(rest), height, copies })
    }
}

/// What taking `hir` apart or copying it costs.
fn size(hir: &Hir) -> u64 {
    match hir.kind() {
        HirKind::Concat(subs) | HirKind::Alternation(subs) => 1 + subs.iter().map(text_size).sum::<u64>(),
        _ => text_size(hir),
    }
}

fn text_size(hir: &Hir) -> u64 {
    match hir.kind() {
        HirKind::Literal(literal) => 1 + literal.0.len() as u64 / 16,
        _ => 1,
    }
}

/// The characters of what matches exactly one of them.
fn char_ranges(hir: &Hir) -> Option<Vec<ClassUnicodeRange>> {
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => Some(class.ranges().to_vec()),
        HirKind::Literal(literal) => {
            let mut chars = std::str::from_utf8(&literal.0).ok()?.chars();
            let only = chars.next().filter(|_| chars.next().is_none())?;
            Some(vec![ClassUnicodeRange::new(only, only)])
        }
        _ => None,
    }
}
