//! What the parser finds in a terminal's output, for the terminal to act on.

use super::params::Params;

/// What output does to a terminal.
pub(super) trait Act {
    /// Characters of ASCII that can be printed.
    fn print_ascii(&mut self, text: &[u8]);
    /// Any character that can be printed.
    fn print(&mut self, c: char);
    /// A control character, C0 or C1.
    fn control(&mut self, code: u8);
    /// An escape sequence: ESC, the intermediate bytes, the final byte.
    fn escape(&mut self, between: &[u8], last: u8);
    /// A control sequence (CSI): its name and its parameters.
    fn sequence(&mut self, name: Name, params: &Params);
    /// An OSC: its number and the text behind it, which may have been cut.
    fn command(&mut self, number: u32, text: &str);
    /// A DCS, without what begins and ends it; it may have been cut.
    fn request(&mut self, text: &str);
    /// The end of a string of any kind but SOS, PM and APC.
    fn string_end(&mut self);
}

/// What tells one control sequence from another: its prefix (`?` or the like), its intermediate byte, which follows the
/// parameters, and its final byte. 0 stands for a byte that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name {
    pub prefix: u8,
    pub between: u8,
    pub last: u8,
}
