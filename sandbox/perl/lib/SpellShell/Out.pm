# What the shell prints: straight to the terminal, so that Ctrl-C ends it between two blocks.
# A line that goes no further dies with [why]: interrupted, abandoned, exit and its status, gone.
# The twin of `sandbox/rust/src/out.rs`.
package SpellShell::Out;

use strict;
use warnings;

use POSIX ();

# `interrupted` is a reference to the flag that Ctrl-C sets.
sub new {
    my ($class, $interrupted) = @_;
    return bless { interrupted => $interrupted, is_line_open => 0 }, $class;
}

# Prints bytes as they are.
sub write {
    my ($self, $bytes) = @_;
    my $done = 0;
    while ($done < length $bytes) {
        $self->check;
        my $written = syswrite STDOUT, $bytes, length($bytes) - $done, $done;
        if (defined $written) {
            $done += $written;
            $self->{is_line_open} = $done < length $bytes || substr($bytes, -1) ne "\n";
        }
        elsif ($! != POSIX::EINTR()) {
            die ['gone'];
        }
    }
}

# Prints one line.
sub line {
    my ($self, $text) = @_;
    $self->write("$text\n");
}

# Dies when Ctrl-C was typed since the line began.
sub check {
    my ($self) = @_;
    die ['interrupted'] if ${ $self->{interrupted} };
}

# Forgets a Ctrl-C that came too late for the command it was meant for.
sub forget_interrupt {
    my ($self) = @_;
    ${ $self->{interrupted} } = 0;
}

# Gets ready for the prompt: forgets a Ctrl-C and starts a new line where one is open.
sub rearm {
    my ($self) = @_;
    my $was_interrupted = ${ $self->{interrupted} };
    ${ $self->{interrupted} } = 0;

    # The terminal has shown `^C`, so the line is open whatever we printed last.
    $self->write("\n") if $was_interrupted || $self->{is_line_open};
}

# The status the player leaves with, when that is why something died.
sub exit_status {
    my ($error) = @_;
    return ref $error eq 'ARRAY' && $error->[0] eq 'exit' ? $error->[1] : undef;
}

1;
