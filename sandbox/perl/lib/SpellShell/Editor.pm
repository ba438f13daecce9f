# Asks for a line: the prompt, and what the keys do to it. Everything about GNU readline lives here: it edits and draws,
# and is fed with keys that each have one spelling. The twin of `sandbox/rust/src/editor.rs`.
#
# Terminal --bytes--> Keys --bytes--> readline
package SpellShell::Editor;

use strict;
use warnings;

use Term::ReadLine;
use SpellShell::Files;
use SpellShell::Keys;
use SpellShell::Shell;
use SpellShell::Tab;

# What an edited text may have: several full lines of a paste.
my $TEXT_MAX_BYTES = 16 * 1024;

my $PASTES_ARE_MARKED = "\e[?2004h";
my $PASTES_ARE_TYPED  = "\e[?2004l";

# Prepares the editor.
sub new {
    my ($class, $terminal) = @_;
    my $term = Term::ReadLine->new('spellshell', \*STDIN, \*STDOUT);
    my $self = bless {
        term         => $term,
        terminal     => $terminal,
        keys         => SpellShell::Keys->new($TEXT_MAX_BYTES),
        feed         => '',
        spells       => sub { },
        is_cancelled => 0,
        is_quoted    => 0,
        has_rung     => 0,
    }, $class;
    $term->ornaments(0);
    $term->MinLine(undef);
    $term->stifle_history($SpellShell::Shell::HISTORY_MAX_LINES);

    # Pastes are told from typing before readline sees them.
    $term->variable_bind(@$_)
        for ['enable-bracketed-paste', 'off'], ['bind-tty-special-chars', 'off'], ['page-completions', 'off'],
        ['revert-all-at-newline', 'on'];

    my $n = 0;
    for ([$SpellShell::Keys::PASTE, sub { $self->insert($self->{keys}->pasted) }],
        ["\t",   sub { $self->complete }],
        ["\cC", sub { $self->cancel }]) {
        my ($key, $code) = @$_;
        $term->add_defun('spellshell-' . $n++, sub { $code->(); 0 }, ord $key);
    }
    $term->bind_key(ord $SpellShell::Keys::DELETE, 'delete-char');
    my $attribs = $term->Attribs;
    $attribs->{catch_signals}        = 0;
    $attribs->{catch_sigwinch}       = 0;
    $attribs->{getc_function}        = sub { $self->next_key };
    $attribs->{input_available_hook} = sub { $self->is_key_there };
    return $self;
}

# Ctrl-C at the prompt: accept the line, but note that it is to be dropped.
sub cancel {
    my ($self) = @_;
    $self->{is_cancelled} = 1;
    $self->{term}->call_function('accept-line', 1, ord "\n");
}

# Asks for one line: ('text', LINES), 'cancelled', 'end', or 'gone' when the terminal is. `spells` gives the names Tab
# offers.
sub ask {
    my ($self, $spells) = @_;
    my $terminal = $self->{terminal};
    $self->{spells}       = $spells;
    $self->{is_cancelled} = 0;
    my $place = SpellShell::Files::short_here();
    $terminal->begin_prompt;
    $terminal->draw($PASTES_ARE_MARKED);
    my $text = $self->{term}->readline("\001\e[35m\002✦\001\e[0m\002 $place \$ ");
    return $terminal->is_gone ? 'gone' : do { $terminal->draw("\n"); 'end' }
        if !defined $text;
    return $self->{is_cancelled} ? 'cancelled' : ('text', $text);
}

# Puts a line where the up arrow finds it.
sub remember {
    my ($self, $line) = @_;
    $self->{term}->add_history($line);
}

# The next byte for readline; -1 at the end.
sub next_key {
    my ($self) = @_;
    while (1) {
        while ($self->{feed} eq '') {
            $self->{has_rung} = 0 if $self->{terminal}->ahead eq '';
            my $byte = $self->{terminal}->next(sub { $self->draw_anew });
            return -1 if !defined $byte;
            $self->feed($byte);
        }
        my $byte   = substr $self->{feed}, 0, 1, '';
        my $passed = $self->{is_quoted} || $self->is_passed($byte);
        $self->{is_quoted} = !$self->{is_quoted} && $byte eq $SpellShell::Keys::QUOTE;
        return $passed < 0 ? -1 : ord $byte if $passed;
    }
}

# Draws prompt and line anew, on a terminal whose size may be another one, which has not moved what stood there.
sub draw_anew {
    my ($self) = @_;
    my $term = $self->{term};
    $term->clear_visible_line;
    $term->reset_screen_size;
    $term->forced_update_display;
}

# Whether readline may have that byte, which is not quoted; -1 when it is to be the end.
sub is_passed {
    my ($self, $byte) = @_;
    my $length = $self->{term}->Attribs->{end};
    if ($byte =~ /[\r\n\cC]/ || $byte eq "\cD" && !$length) {
        $self->{terminal}->draw($PASTES_ARE_TYPED);
        return $byte eq "\cD" ? -1 : 1;
    }
    if ($byte eq $SpellShell::Keys::FULL) {
        $self->ring;
        return 0;
    }

    # A character is taken whole or not at all.
    if ($byte =~ /[ -~\xc0-\xff]/) {
        $self->{is_full} = $length + 4 > $TEXT_MAX_BYTES;
        $self->ring if $self->{is_full};
    }
    return !$self->{is_full} || $byte !~ /[ -~\x80-\xff]/;
}

# Whether `next_key` would return immediately.
sub is_key_there {
    my ($self) = @_;
    $self->feed($self->{terminal}->next) while $self->{feed} eq '' && $self->{terminal}->ahead ne '';
    return $self->{feed} ne '' ? 1 : 0;
}

sub feed {
    my ($self, $byte) = @_;
    $self->{feed} .= $self->{keys}->push($byte);
}

# Once for all that comes together.
sub ring {
    my ($self) = @_;
    $self->{term}->ding if !$self->{has_rung}++;
}

# Puts in a whole text or nothing.
sub insert {
    my ($self, $text) = @_;
    if ($self->{term}->Attribs->{end} + length $text > $TEXT_MAX_BYTES) {
        $self->ring;
    }
    else {
        $self->{term}->insert_text($text);
    }
}

# Tab.
sub complete {
    my ($self)  = @_;
    my $term    = $self->{term};
    my $attribs = $term->Attribs;
    my $before  = substr $attribs->{line_buffer}, 0, $attribs->{point};
    my ($more, @names) = SpellShell::Tab::offer($before, $self->{spells});
    return $self->insert($more) if $more ne '';
    return $term->ding          if !@names;
    my ($longest) = sort { $b <=> $a } map { length } @names;
    $term->display_match_list([SpellShell::Tab::common_start(@names), @names], scalar @names, $longest);
    $term->forced_update_display;
}

1;
