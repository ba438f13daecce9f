# Looking around: ls, cat, cd, and the names Tab offers. Reads only, never writes.
# What fails returns its words for it, what works returns nothing. The twin of `sandbox/rust/src/files.rs`.
package SpellShell::Files;

use strict;
use warnings;

use Fcntl qw(O_NOCTTY O_NONBLOCK O_RDONLY);
use POSIX qw(EACCES EINTR EISDIR ENOENT ENOTDIR EPERM);
use SpellShell::Spell;

our $HOME = '/home';

my $NOT_PLAIN = 'not a plain file';
my $DIRECTORY = 'is a directory (try: ls)';
my %TROUBLE   = (
    ENOENT()       => 'no such file or directory',
    EACCES()       => 'permission denied',
    EPERM()        => 'permission denied',
    ENOTDIR()      => 'not a directory',
    EISDIR()       => $DIRECTORY,
    POSIX::EINVAL() => $NOT_PLAIN,
);

# What went wrong last, in the game's words.
sub trouble { return $TROUBLE{ $! + 0 } // 'cannot be read' }

# The path a word means: `~` is home.
sub resolve {
    my ($word) = @_;
    $word =~ s{\A~(?=/|\z)}{$HOME};
    return $word;
}

# Prints one path for ls; a directory is headed by its name when there are several.
sub list {
    my ($out, $word, $has_company) = @_;
    my $path = resolve($word);
    stat $path or return trouble();
    if (!-d _) {
        $out->line($word);
        return;
    }
    my $names = names($path) or return trouble();
    $out->line("$word:") if $has_company;
    $out->write(join '', map { tr/\x00-\x1f\x7f/?/r . "\n" } grep { !/\A\./ } @$names);
    return;
}

# The names in a directory, sorted by bytes, directories with a `/`; nothing when it cannot be read.
sub names {
    my ($directory) = @_;
    opendir my $handle, $directory or return;
    my @names = map { -d "$directory/$_" ? "$_/" : $_ } grep { !/\A\.\.?\z/ } readdir $handle;
    return [sort @names];
}

# Prints a file for cat. Devices and pipes are refused: reading the terminal itself would hang.
sub show {
    my ($out, $word) = @_;
    my $path = resolve($word);
    stat $path or return trouble();
    return -d _ ? $DIRECTORY : $NOT_PLAIN if !-f _;

    # The path may have changed meanwhile: O_NONBLOCK and a second look keep that harmless.
    sysopen my $file, $path, O_RDONLY | O_NONBLOCK | O_NOCTTY or return trouble();
    return $NOT_PLAIN if !-f $file;
    while (1) {
        $out->check;
        my $read = sysread $file, my $block, 16 * 1024;
        next if !defined $read && $! == EINTR;
        return trouble() if !defined $read;
        return if !$read;
        $out->write($block);
    }
}

# Changes the directory for cd.
sub enter {
    my ($word) = @_;

    # Taint mode asks whether any directory will do: what may be entered is for the container to decide.
    my ($path) = resolve($word) =~ /\A(.*)\z/s;
    return chdir $path ? () : trouble();
}

# The directory we are in.
sub here { return POSIX::getcwd() // '/' }

# The directory as the prompt shows it.
sub short_here {
    my $here = here();
    $here =~ s{\A\Q$HOME\E(?=/|\z)}{~};
    return $here;
}

# What a path begun like this may become.
sub complete {
    my ($begun) = @_;
    my ($directory, $start) = $begun =~ m{\A(.*/)?(.*)\z}s;
    $directory //= '';
    my $names = names($directory eq '' ? '.' : resolve($directory)) // [];
    return map { "$directory$_" }
        grep { index($_, $start) == 0 && ($start =~ /\A\./ || !/\A\./) && SpellShell::Spell::is_utf8($_) } @$names;
}

1;
