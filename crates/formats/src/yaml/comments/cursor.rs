//! Where in a text somebody is, as go-yaml counts lines and columns. Not here: what stands there.

#[derive(Clone, Copy)]
pub(super) struct Mark {
    pub(super) at: usize,
    pub(super) line: usize,
    pub(super) column: usize,
}

/// Goes through a text.
pub(super) struct Cursor<'a> {
    pub(super) text: &'a [u8],
    pub(super) mark: Mark,
    /// How many line breaks have come since the last character that is neither one nor blank.
    pub(super) breaks: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn rest(&self) -> &'a [u8] {
        self.text.get(self.mark.at..).unwrap_or_default()
    }

    /// The byte so far ahead; 0 behind the end.
    pub(super) fn byte(&self, ahead: usize) -> u8 {
        self.text.get(self.mark.at + ahead).copied().unwrap_or_default()
    }

    /// Passes a character or a line break.
    pub(super) fn step(&mut self) {
        match self.byte(0) {
            b'\r' | b'\n' => {
                self.mark.at += if self.rest().starts_with(b"\r\n") { 2 } else { 1 };
                self.mark.line += 1;
                self.mark.column = 0;
                self.breaks += 1;
            }
            byte => {
                self.mark.at += 1;
                while self.byte(0) & 0xC0 == 0x80 {
                    self.mark.at += 1;
                }
                self.mark.column += 1;
                self.breaks = if is_blank(byte) { self.breaks } else { 0 };
            }
        }
    }

    pub(super) fn advance(&mut self, to: usize) {
        while self.mark.at < to.min(self.text.len()) {
            self.step();
        }
    }

    pub(super) fn pass_line(&mut self) {
        while !is_break(self.byte(0)) && self.mark.at < self.text.len() {
            self.step();
        }
    }

    /// Passes blanks and line breaks, and tells whether there were line breaks.
    pub(super) fn pass_blank(&mut self) -> bool {
        let line = self.mark.line;
        while is_blank(self.byte(0)) || is_break(self.byte(0)) {
            self.step();
        }
        line < self.mark.line
    }
}

pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

pub(super) fn is_break(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}
