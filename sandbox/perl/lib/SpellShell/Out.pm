# What the shell prints: straight to the terminal, so that Ctrl-C ends it between two blocks.
# A line that goes no further dies with [why]: interrupted, abandoned, exit and its status, gone.
# The twin of `sandbox/rust/src/out.rs`.
package SpellShell::Out;

use strict;
use warnings;

# Prints to that terminal until Ctrl-C is typed there.
sub new {
    my ($class, $terminal) = @_;
    return bless { terminal => $terminal, is_line_open => 0 }, $class;
}

# Prints bytes as they are.
sub write {
    my ($self, $bytes) = @_;
    my $done = 0;
    while ($done < length $bytes) {
        my $written = $self->{terminal}->write($bytes, $done);
        die ['gone'] if !defined $written;
        $done += $written;
        $self->{is_line_open} = $done < length $bytes || substr($bytes, -1) ne "\n" if $written;
        $self->stop_if_interrupted;
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
    $self->{terminal}->look;
    $self->stop_if_interrupted;
}

sub stop_if_interrupted {
    my ($self) = @_;
    die ['interrupted'] if $self->{terminal}->is_interrupted;
}

# Whether Ctrl-C ended the last line.
sub is_interrupted { $_[0]{terminal}->is_interrupted }

# Gets ready for a command: only a Ctrl-C behind its Enter is meant for it.
sub begin_command {
    my ($self) = @_;
    $self->{terminal}->forget_interrupt;
    $self->{terminal}->begin_command;
}

# Gets ready for the prompt: forgets a Ctrl-C and starts a new line where one is open.
sub rearm {
    my ($self) = @_;

    # The terminal has shown `^C`, so the line is open whatever we printed last.
    my $was_interrupted = $self->{terminal}->forget_interrupt;
    $self->{terminal}->begin_prompt;
    $self->write("\n") if $was_interrupted || $self->{is_line_open};
}

# The status the player leaves with, when that is why something died.
sub exit_status {
    my ($error) = @_;
    return ref $error eq 'ARRAY' && $error->[0] eq 'exit' ? $error->[1] : undef;
}

1;
