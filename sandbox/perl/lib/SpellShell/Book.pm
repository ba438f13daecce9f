# The spellbook: spells in memory, and the one file that keeps them.
# A line a change, each with a check, the last one counts. `sandbox/GAME.md` tells how the file is tidied up
# so that a cut at any byte loses nothing. It can be replaced from outside, by root: then it is read anew. The twin of `sandbox/rust/src/book.rs`.
package SpellShell::Book;

use strict;
use warnings;

use Fcntl qw(O_NONBLOCK O_RDONLY O_RDWR SEEK_SET);
use IO::Handle;
use POSIX ();
use SpellShell::Spell;

# DOCKER: the container's `fsize` limit; a write beyond it fails with EFBIG.
my $FILE_MAX_BYTES = 1024 * 1024;

# The live lines fill half the file at most, so that a copy of them always fits behind them.
my $LIVE_MAX_BYTES = $FILE_MAX_BYTES / 2;

# The longest line that can be right.
my $CHANGE_MAX_BYTES = length('01234567 forget  ') + $SpellShell::Spell::NAME_MAX_BYTES + $SpellShell::Spell::LINE_MAX_BYTES;

# Opens the file, which is never created, and reads it. Lines that cannot be read are counted and tidied away.
sub open {
    my ($class, $path) = @_;
    my ($file, $stamp, $content) = (undef, undef, '');

    # O_NONBLOCK: should the path be a pipe, opening and reading it must not hang.
    my $handle;
    my $writable = sysopen($handle, $path, O_RDWR | O_NONBLOCK) && -f $handle;
    if ($writable || sysopen($handle, $path, O_RDONLY | O_NONBLOCK) && -f $handle) {

        # Before it is read: what changes meanwhile is read again.
        $stamp = stamp($handle);
        while (length $content < $FILE_MAX_BYTES) {
            my $read = sysread $handle, $content, $FILE_MAX_BYTES - length $content, length $content;
            last if !$read;
        }
        $file = $handle if $writable;
    }

    # Where nothing can be opened, only the path can tell.
    $stamp //= stamp($path);
    my ($spells, $skipped) = read_lines($content);
    my $self = bless {
        path    => $path,
        stamp   => $stamp,
        spells  => $spells,
        skipped => $skipped,
        is_told => 0,
        file    => $file,

        # Also when it can only be read: as long as it is open, no other file gets its inode.
        handle  => $handle,
        length  => length $content,
        is_torn => $content ne '' && substr($content, -1) ne "\n",
    }, $class;
    my $image = $self->image;

    # Failing here is no loss: the lines are left out again the next time.
    if ($skipped && $self->fits(1 + length $image)) {
        $self->tidy($image);
        $self->note_stamp;
    }
    return $self;
}

# Reads the book anew if another one lies at its path by now.
sub refresh {
    my ($self) = @_;
    return if stamp($self->{path}) eq $self->{stamp};
    %$self = %{ SpellShell::Book->open($self->{path}) };
}

# What tells one state of a file from another, without reading it: device, inode, size, mtime, and ctime, which
# moves with owner and mode too. Empty where there is nothing.
sub stamp {
    my ($file) = @_;
    my @found = stat $file or return '';
    return join ' ', @found[0, 1, 7, 9, 10];
}

# After a failure too: what is only in memory must not look like a book from outside.
sub note_stamp {
    my ($self) = @_;
    $self->{stamp} = stamp($self->{file}) if $self->is_kept;
}

sub spells  { $_[0]{spells} }
sub is_kept { defined $_[0]{file} }

# What is wrong with the book, the first time it is asked for: how many lines could not be read, and whether
# spells outlive the shell all the same.
sub take_trouble {
    my ($self) = @_;
    return if $self->{is_told}++ || !$self->{skipped} && $self->is_kept;
    return ($self->{skipped}, $self->is_kept);
}

# Writes a spell. Returns 'learned', 'relearned', 'full' or 'not written'.
sub learn {
    my ($self, $name, $body) = @_;
    my $change   = learn_line($name, $body);
    my $live     = $self->live_bytes;
    my $old      = $self->{spells}{$name};
    my $new_live = $live + length $change;
    $new_live -= length learn_line($name, $old) if defined $old;

    # A book from elsewhere may be too full already; making it smaller is always right.
    return 'full' if $new_live > $LIVE_MAX_BYTES && $new_live > $live;
    $self->{spells}{$name} = $body;
    $self->keep($change) or return 'not written';
    return defined $old ? 'relearned' : 'learned';
}

# Strikes a spell out. Returns 'forgot', 'unknown' or 'not written'.
sub forget {
    my ($self, $name) = @_;
    return 'unknown' if !defined delete $self->{spells}{$name};
    return $self->keep(check_line("forget $name")) ? 'forgot' : 'not written';
}

# Appends a change that is already made in memory, or tidies up, which keeps it too.
sub keep {
    my ($self, $change) = @_;
    my $is_kept = $self->write_down($change);
    $self->note_stamp;
    return $is_kept;
}

sub write_down {
    my ($self, $change) = @_;
    return 1 if !$self->is_kept;
    $change = "\n$change" if $self->{is_torn};

    # INVARIANT: after the append there is still room to tidy up.
    return $self->tidy($self->image) if !$self->fits(length($change) + $self->live_bytes);
    if (!$self->write_at($self->{length}, $change)) {

        # Half a line is skipped when the book is read, but costs room.
        truncate $self->{file}, $self->{length};
        return 0;
    }
    $self->{length} += length $change;
    $self->{is_torn} = 0;
    return 1;
}

sub fits {
    my ($self, $more_bytes) = @_;
    return $self->{length} + $more_bytes <= $FILE_MAX_BYTES;
}

# Makes the file hold `image` and nothing else. The order of the steps is what makes a cut harmless.
sub tidy {
    my ($self, $image) = @_;
    return 1 if !$self->is_kept;
    my $copy = ($self->{is_torn} ? "\n" : '') . $image;
    if ($self->fits(length $copy)) {
        $self->write_at($self->{length}, $copy) or return 0;
    }
    $self->write_at(0, $image) or return 0;
    truncate $self->{file}, length $image or return 0;
    $self->{length}  = length $image;
    $self->{is_torn} = 0;
    return 1;
}

# Writes all of it and waits until the disk has it.
sub write_at {
    my ($self, $offset, $bytes) = @_;
    defined sysseek($self->{file}, $offset, SEEK_SET) or return 0;
    my $done = 0;
    while ($done < length $bytes) {
        my $written = syswrite $self->{file}, $bytes, length($bytes) - $done, $done;
        next if !defined $written && $! == POSIX::EINTR();
        return 0 if !$written;
        $done += $written;
    }
    return defined $self->{file}->sync;
}

# Reads a book's bytes: the spells, and how many lines were left out.
sub read_lines {
    my ($content) = @_;
    my (%spells, $skipped);
    $skipped = 0;

    # One at a time: a list of a million empty lines would not fit into the container's memory.
    while ($content =~ /([^\n]+)/g) {
        my ($name, $body) = read_line($1);
        if    (!defined $name) { $skipped++ }
        elsif (defined $body)  { $spells{$name} = $body }
        else                   { delete $spells{$name} }
    }
    return (\%spells, $skipped);
}

# Reads one line: a name, and the spell unless it is forgotten. Nothing when anything about it is wrong.
sub read_line {
    my ($line) = @_;
    return if length $line > $CHANGE_MAX_BYTES;
    my ($check, $change) = $line =~ /\A([0-9a-f]{8}) (.*)\z/s or return;
    return if !SpellShell::Spell::is_utf8($line) || SpellShell::Spell::clean($change) ne $change;
    return if checksum($change) ne $check;
    if (my ($forgotten) = $change =~ /\Aforget (.*)\z/s) {
        return SpellShell::Spell::is_name($forgotten) ? $forgotten : ();
    }
    my ($name, $body) = $change =~ /\Alearn ([^ ]*) (.+)\z/s or return;
    return if !SpellShell::Spell::is_name($name) || length $body > $SpellShell::Spell::LINE_MAX_BYTES;
    my ($commands) = SpellShell::Spell::parse($body);
    return $commands ? ($name, $body) : ();
}

my @CRC_TABLE = map {
    my $value = $_;
    $value = $value & 1 ? ($value >> 1) ^ 0xedb88320 : $value >> 1 for 1 .. 8;
    $value;
} 0 .. 255;

# CRC-32 (IEEE); no module for it is worth its room in the image.
sub checksum {
    my ($change) = @_;
    my $crc = 0xffffffff;
    $crc = ($crc >> 8) ^ $CRC_TABLE[($crc ^ $_) & 0xff] for unpack 'C*', $change;
    return sprintf '%08x', $crc ^ 0xffffffff;
}

sub check_line {
    my ($change) = @_;
    return checksum($change) . " $change\n";
}

sub learn_line {
    my ($name, $body) = @_;
    return check_line("learn $name $body");
}

sub image {
    my ($self) = @_;
    my $spells = $self->{spells};
    return join '', map { learn_line($_, $spells->{$_}) } sort keys %$spells;
}

sub live_bytes {
    my ($self) = @_;
    my $spells = $self->{spells};
    my $bytes  = length("01234567 learn  \n") * keys %$spells;
    $bytes += length($_) + length $spells->{$_} for keys %$spells;
    return $bytes;
}

1;
