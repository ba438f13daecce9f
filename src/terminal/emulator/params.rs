//! The parameters of a control sequence: up to 32 numbers, and up to 32 subparameters, which follow colons.

/// As many as xterm.js keeps.
const MAX: usize = 32;

/// Parsed parameters.
#[derive(Debug, Clone)]
pub(super) struct Params {
    values: [i32; MAX],
    /// Where the subparameters of each number end; they begin where those of the number before it end.
    ends: [u8; MAX],
    len: usize,
    subs: [i32; MAX],
    subs_len: usize,
    /// Further digits are ignored: there were too many numbers.
    is_over: bool,
    is_sub_over: bool,
    is_sub: bool,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            values: [0; MAX],
            ends: [0; MAX],
            len: 1,
            subs: [0; MAX],
            subs_len: 0,
            is_over: false,
            is_sub_over: false,
            is_sub: false,
        }
    }
}

impl Params {
    /// Starts anew, with one number, which is 0.
    pub(super) fn clear(&mut self) {
        (self.len, self.subs_len) = (1, 0);
        (self.values[0], self.ends[0]) = (0, 0);
        (self.is_over, self.is_sub_over, self.is_sub) = (false, false, false);
    }

    /// Takes a digit, `;` or `:`.
    pub(super) fn add(&mut self, byte: u8) {
        match byte {
            b';' => self.next(),
            b':' => self.next_sub(),
            _ => self.digit(i32::from(byte.wrapping_sub(b'0'))),
        }
    }

    fn next(&mut self) {
        self.is_sub = false;
        if self.len >= MAX {
            self.is_over = true;
            return;
        }
        if let (Some(value), Some(end)) =
            (self.values.get_mut(self.len), self.ends.get_mut(self.len))
        {
            (*value, *end) = (0, self.subs_len as u8);
            self.len += 1;
        }
    }

    fn next_sub(&mut self) {
        self.is_sub = true;
        if self.is_over || self.subs_len >= MAX {
            self.is_sub_over = true;
            return;
        }
        if let (Some(sub), Some(end)) = (
            self.subs.get_mut(self.subs_len),
            self.ends.get_mut(self.len - 1),
        ) {
            *sub = -1;
            *end += 1;
            self.subs_len += 1;
        }
    }

    fn digit(&mut self, digit: i32) {
        if self.is_over || (self.is_sub && self.is_sub_over) {
            return;
        }
        let value = match self.is_sub {
            true => self.subs.get_mut(self.subs_len.wrapping_sub(1)),
            false => self.values.get_mut(self.len.wrapping_sub(1)),
        };
        if let Some(value) = value {
            *value = match *value {
                -1 => digit,
                before => before.saturating_mul(10).saturating_add(digit),
            };
        }
    }

    /// How many there are: one at least.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The number at this place, 0 where there is none.
    pub(super) fn get(&self, at: usize) -> i32 {
        let values = self.values.get(..self.len);
        values
            .and_then(|values| values.get(at))
            .copied()
            .unwrap_or(0)
    }

    /// The number at this place as a count, where 0 stands for 1.
    pub(super) fn count(&self, at: usize) -> usize {
        usize::try_from(self.get(at)).unwrap_or(0).max(1)
    }

    /// The subparameters of the number at this place; -1 where no number was written.
    pub(super) fn subs(&self, at: usize) -> &[i32] {
        let end = |at: usize| self.ends.get(at).map_or(0, |end| usize::from(*end));
        let start = at.checked_sub(1).map_or(0, end);
        if at >= self.len {
            return &[];
        }
        self.subs.get(start..end(at)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let mut params = Params::default();
        params.clear();
        text.bytes().for_each(|byte| params.add(byte));
        let shown: Vec<String> = (0..params.len())
            .map(|at| format!("{}{:?}", params.get(at), params.subs(at)))
            .collect();
        assert_eq!(shown.join(" "), expected);
    }

    #[test]
    fn numbers_of_both_ranks() {
        check("", "0[]");
        check("5", "5[]");
        check(";7", "0[] 7[]");
        check("4:3", "4[3]");
        check("38:2::1:22:333;1", "38[2, -1, 1, 22, 333] 1[]");
        check("99999999999999", "2147483647[]");
    }

    #[test]
    fn there_is_no_end_of_room() {
        let mut params = Params::default();
        for _ in 0..100 {
            params.add(b';');
            params.add(b':');
            params.add(b'7');
        }
        assert_eq!((params.len(), params.get(31), params.get(32)), (32, 0, 0));
        assert_eq!(params.subs(31), [7]);
        assert!(params.subs(40).is_empty());
    }
}
