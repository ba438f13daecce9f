# Asks for a line: the prompt, the keys, Tab. Everything about GNU readline lives here.
# The twin of `sandbox/rust/src/editor.rs`.
package SpellShell::Editor;

use strict;
use warnings;

use POSIX qw(ICANON ICRNL IXON TCSANOW VINTR VMIN VQUIT VSUSP VTIME);
use Term::ReadLine;
use SpellShell::Files;
use SpellShell::Shell;

# Prepares the editor and the terminal.
sub new {
    my ($class, $out) = @_;
    my $term = Term::ReadLine->new('spellshell', \*STDIN, \*STDOUT);
    my $self = bless { term => $term, out => $out, spells => sub { }, is_cancelled => 0 }, $class;
    $term->ornaments(0);
    $term->MinLine(undef);
    $term->stifle_history($SpellShell::Shell::HISTORY_MAX_LINES);
    $term->variable_bind('enable-bracketed-paste', 'off');

    # There is no init file to read again, and no vi in this game.
    $term->unbind_command($_) for qw(re-read-init-file vi-editing-mode tilde-expand);
    $term->add_defun('cancel-line', sub { $self->cancel }, ord "\cC");
    my $attribs = $term->Attribs;
    $attribs->{catch_signals}                   = 0;
    $attribs->{completer_word_break_characters} = " \t;";
    $attribs->{completer_quote_characters}      = '';
    $attribs->{attempted_completion_function}   = sub { $self->complete(@_) };
    $self->set_terminal;
    return $self;
}

# Ctrl-C at the prompt: accept the line, but note that it is to be dropped.
sub cancel {
    my ($self) = @_;
    $self->{is_cancelled} = 1;
    $self->{term}->call_function('accept-line', 1, ord "\n");
    return 0;
}

# Asks for one line: ('line', LINE), 'cancelled' or 'end'. `spells` gives the names Tab offers.
sub ask {
    my ($self, $spells) = @_;
    $self->{spells}       = $spells;
    $self->{is_cancelled} = 0;
    my $place = SpellShell::Files::short_here();
    $self->set_interrupt(0);
    my $line = $self->{term}->readline("\001\e[35m\002✦\001\e[0m\002 $place \$ ");
    $self->set_interrupt(1);
    if (!defined $line) {
        $self->{out}->write("\n");
        return 'end';
    }
    return $self->{is_cancelled} ? 'cancelled' : ('line', $line);
}

# Puts a line where the up arrow finds it.
sub remember {
    my ($self, $line) = @_;
    $self->{term}->add_history($line);
}

# How the terminal is while a command runs: no line of at most 4095 bytes is put together by the kernel
# from what is typed ahead, and Ctrl-S does not freeze the game.
sub set_terminal {
    my $modes = POSIX::Termios->new;
    defined $modes->getattr(0) or return;
    $modes->setlflag($modes->getlflag & ~ICANON);
    $modes->setiflag($modes->getiflag & ~(IXON | ICRNL));
    $modes->setcc(VMIN,  1);
    $modes->setcc(VTIME, 0);
    $modes->setcc($_,    0) for VQUIT, VSUSP;
    $modes->setattr(0, TCSANOW);
}

# Whether Ctrl-C is a signal, as while a command runs, or a key, as in the editor. readline turns ISIG on by itself,
# so it is the key that is taken away.
sub set_interrupt {
    my ($self, $is_on) = @_;
    my $modes = POSIX::Termios->new;
    defined $modes->getattr(0) or return;
    $modes->setcc(VINTR, $is_on ? ord "\cC" : 0);
    $modes->setattr(0, TCSANOW);
}

# What Tab offers; called by readline with the word and the line.
sub complete {
    my ($self, $begun, $line, $start) = @_;
    my $attribs = $self->{term}->Attribs;
    my ($command) = substr($line, 0, $start) =~ /([^ \t;]+)[^;]*\z/;
    my @found
        = !defined $command || $command eq 'help' ? starting($begun, SpellShell::Shell::commands())
        : $command eq 'cast' || $command eq 'forget' ? starting($begun, $self->{spells}->())
        :                                              SpellShell::Files::complete($begun);
    $attribs->{attempted_completion_over}   = 1;
    $attribs->{completion_append_character} = @found == 1 && $found[0] =~ m{/\z} ? '' : ' ';
    return if !@found;
    return (common_start(@found), @found == 1 ? () : @found);
}

sub starting {
    my ($begun, @names) = @_;
    return grep { index($_, $begun) == 0 } @names;
}

sub common_start {
    my ($common, @others) = @_;
    for my $other (@others) {
        chop $common while index($other, $common) != 0;
    }

    # Never half a character.
    chop $common while !SpellShell::Spell::is_utf8($common);
    return $common;
}

1;
