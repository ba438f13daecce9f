# The player's terminal: what is typed, what is shown, and its modes.
#
# Somebody always reads what is typed, also while a command runs and while nobody takes its output: a terminal whose
# queue is full would never get to the Ctrl-C behind it. So Ctrl-C is a byte here and never a signal, and its place among
# the others is known. What is typed ahead waits for the next prompt. The twin of `sandbox/rust/src/terminal.rs`.
package SpellShell::Terminal;

use strict;
use warnings;

use Fcntl qw(O_NOCTTY O_NONBLOCK O_RDWR);
use POSIX qw(EAGAIN EINTR ICANON ICRNL IXON SIG_BLOCK SIG_UNBLOCK TCOFLUSH TCSANOW VINTR VMIN VQUIT VSUSP VTIME);

# What is typed ahead beyond this is dropped.
my $AHEAD_MAX_BYTES = 64 * 1024;
my $READ_BYTES      = 4096;

# POSIX does not know it.
my $SIGWINCH = 28;

# Opens the terminal of this process anew, so that what is set on it is nobody else's.
sub open {
    my ($class) = @_;
    my ($input, $output);
    if (sysopen my $tty, '/dev/tty', O_RDWR | O_NONBLOCK | O_NOCTTY) {
        $input = $output = $tty;
    }
    else {
        ($input, $output) = (\*STDIN, \*STDOUT);
    }
    my $self = bless {
        input          => $input,
        output         => $output,
        is_terminal    => -t $input,
        is_command     => 0,
        ahead          => '',
        is_interrupted => 0,
        has_dropped    => 0,
        has_ended      => 0,
    }, $class;
    $self->set_modes;
    $self->watch_size;
    return $self;
}

# A byte comes through a pipe with each SIGWINCH. It is let through only while the editor waits, where it can neither
# be missed nor disturb anything.
sub watch_size {
    my ($self) = @_;
    pipe $self->{resized}, my $wake or return;
    $self->{winch} = POSIX::SigSet->new($SIGWINCH);
    POSIX::sigprocmask(SIG_BLOCK, $self->{winch});
    POSIX::sigaction($SIGWINCH, POSIX::SigAction->new(sub { local $!; syswrite $wake, 'x' }));
}

# No line is put together by the kernel, no key is a signal, and Ctrl-S does not freeze the game. What is typed while a
# command runs is echoed; at the prompt readline takes care of that, and turns ISIG on, so the keys are taken away.
sub set_modes {
    my ($self) = @_;
    my $modes = POSIX::Termios->new;
    defined $modes->getattr(fileno $self->{input}) or return;
    $modes->setlflag($modes->getlflag & ~ICANON);
    $modes->setiflag($modes->getiflag & ~(IXON | ICRNL));
    $modes->setcc(VMIN,  1);
    $modes->setcc(VTIME, 0);
    $modes->setcc($_,    0) for VINTR, VQUIT, VSUSP;
    $modes->setattr(fileno $self->{input}, TCSANOW);
}

# From now on keys are the editor's.
sub begin_prompt {
    my ($self) = @_;
    $self->{is_command} = 0;
}

# From now on a command runs, and Ctrl-C ends it: also one that was typed right behind its Enter.
sub begin_command {
    my ($self) = @_;
    $self->{is_command} = 1;
    my $typed = $self->{ahead};
    $self->{ahead} = '';
    $self->keep($typed);
}

# Whether Ctrl-C was typed since the last forget_interrupt.
sub is_interrupted { $_[0]{is_interrupted} }

# Forgets a Ctrl-C, and says whether there was one.
sub forget_interrupt {
    my ($self) = @_;
    my $was_interrupted = $self->{is_interrupted};
    $self->{is_interrupted} = 0;
    return $was_interrupted;
}

# Takes in what was typed meanwhile.
sub look {
    my ($self) = @_;
    my $in = $self->bit('input');
    $self->take_in if !$self->{has_ended} && select($in, undef, undef, 0) > 0;
}

# Writes what the terminal takes of the bytes from `from` on, at least one, unless Ctrl-C comes first. Nothing when the
# terminal is gone.
sub write {
    my ($self, $bytes, $from) = @_;
    while (1) {
        my $in    = $self->{has_ended} ? '' : $self->bit('input');
        my $out   = $self->bit('output');
        my $ready = select $in, $out, undef, undef;
        if ($ready < 0) {
            next if $! == EINTR;
            return;
        }
        if (!$self->{has_ended} && $in =~ /[^\0]/) {
            $self->take_in;
            return 0 if $self->{is_command} && $self->{is_interrupted};
        }
        next if $out !~ /[^\0]/;
        my $written = syswrite $self->{output}, $bytes, length($bytes) - $from, $from;
        return $written if defined $written;
        return          if $! != EINTR && $! != EAGAIN;
    }
}

# Writes all of it, for the editor. A terminal that is gone will not be read either.
sub draw {
    my ($self, $bytes) = @_;
    my $done = 0;
    while ($done < length $bytes) {
        my $written = $self->write($bytes, $done);
        return if !defined $written;
        $done += $written;
    }
}

# Whether it hung up, which is no end of a pipe.
sub is_gone { $_[0]{has_ended} && $_[0]{is_terminal} }

# What is typed and waits.
sub ahead { $_[0]{ahead} }

# The next byte for the editor; nothing when nothing more comes. Meanwhile `resized` is told when the terminal may have
# another size.
sub next {
    my ($self, $resized) = @_;
    while ($self->{ahead} eq '') {
        return if $self->{has_ended};
        my $in   = $self->bit('input');
        my $size = $self->{resized} ? $self->bit('resized') : '';
        my $all  = $in | $size;
        POSIX::sigprocmask(SIG_UNBLOCK, $self->{winch}) if $self->{winch};
        my $ready = select $all, undef, undef, undef;
        POSIX::sigprocmask(SIG_BLOCK, $self->{winch}) if $self->{winch};
        next if $ready <= 0;
        if (($all & $size) =~ /[^\0]/) {
            sysread $self->{resized}, my ($signals), 64;
            $resized->();
        }
        $self->take_in if ($all & $in) =~ /[^\0]/;
    }
    my $byte = substr $self->{ahead}, 0, 1, '';
    $self->{has_dropped} = 0 if $self->{ahead} eq '';
    return $byte;
}

# Reads a block of what was typed.
sub take_in {
    my ($self) = @_;
    my $block;
    my $read = sysread $self->{input}, $block, $READ_BYTES;
    if    ($read)         { $self->keep($block) }
    elsif (defined $read) { $self->{has_ended} = 1 }

    # Otherwise the terminal hung up.
    elsif ($! != EINTR && $! != EAGAIN) { $self->{has_ended} = 1 }
}

# Keeps what was typed for the next prompt. While a command runs, Ctrl-C drops what was typed before it and what the
# terminal still holds of the output, as the kernel would do it.
sub keep {
    my ($self, $typed) = @_;
    if ($self->{is_command} && $typed =~ s/\A.*\cC//s) {
        $self->{is_interrupted} = 1;
        $self->{ahead} = '';
        POSIX::tcflush(fileno $self->{output}, TCOFLUSH);
    }
    my $room = $AHEAD_MAX_BYTES - length $self->{ahead};
    $self->{ahead} .= substr $typed, 0, $room;

    # Where no output is taken, nobody hears a bell either.
    syswrite $self->{output}, "\a" if length $typed > $room && !$self->{has_dropped}++;
}

# The set of one descriptor, for select.
sub bit {
    my ($self, $which) = @_;
    my $bits = '';
    vec($bits, fileno $self->{$which}, 1) = 1;
    return $bits;
}

1;
