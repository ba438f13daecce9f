//! Modes: what a program switches on and off.

/// All modes but those of the two screens and of the pen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Modes {
    pub insert: bool,
    /// LF also moves the cursor to the line's beginning.
    pub newline: bool,
    pub application_cursor: bool,
    pub application_keypad: bool,
    /// Rows count from the region's first one.
    pub origin: bool,
    pub wraps: bool,
    pub reverse_wraps: bool,
    /// The number of the mode that says which movements of the mouse are reported; 0 for none.
    pub mouse: u16,
    /// The number of the mode that says how movements of the mouse are reported; 0 for the original encoding.
    pub mouse_encoding: u16,
    pub focus: bool,
    pub bracketed_paste: bool,
    pub is_cursor_hidden: bool,
    /// The style that DECSCUSR set last; 0 for the page's own.
    pub cursor_style: u8,
    /// What mode 12 was set to, if it was.
    pub cursor_blinks: Option<bool>,
    pub synchronized: bool,
}

impl Default for Modes {
    fn default() -> Self {
        Self {
            insert: false,
            newline: false,
            application_cursor: false,
            application_keypad: false,
            origin: false,
            wraps: true,
            reverse_wraps: false,
            mouse: 0,
            mouse_encoding: 0,
            focus: false,
            bracketed_paste: false,
            is_cursor_hidden: false,
            cursor_style: 0,
            cursor_blinks: None,
            synchronized: false,
        }
    }
}

impl Modes {
    /// The modes as DECSTR leaves them.
    pub(super) fn soft_reset(&self) -> Modes {
        Modes {
            newline: self.newline,
            mouse: self.mouse,
            mouse_encoding: self.mouse_encoding,
            cursor_blinks: self.cursor_blinks,
            ..Modes::default()
        }
    }

    /// The modes as RIS leaves them: xterm.js keeps some of them.
    pub(super) fn reset(&self) -> Modes {
        Modes {
            newline: self.newline,
            cursor_blinks: self.cursor_blinks,
            is_cursor_hidden: self.is_cursor_hidden,
            ..Modes::default()
        }
    }
}
