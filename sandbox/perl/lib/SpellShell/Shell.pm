# Runs lines: the commands, casting, statuses. `sandbox/GAME.md` is what they keep to.
# Knows nothing of how lines are edited. The twin of `sandbox/rust/src/shell.rs`.
package SpellShell::Shell;

use strict;
use warnings;

use SpellShell::Files;
use SpellShell::Out;
use SpellShell::Spell;

our $HISTORY_MAX_LINES = 500;

my $TEXT             = '/usr/lib/spellshell/text';
my $CAST_DEPTH_MAX   = 16;
my $CHANT_BLOCK_BYTES = 8 * 1024;

my ($OK, $FAILED, $MISUSED, $UNKNOWN, $INTERRUPTED) = (0, 1, 2, 127, 130);

# Every command, and what runs it: given the words, it returns a status.
my %COMMANDS = (
    ls      => \&ls,
    cat     => \&cat,
    cd      => \&cd,
    pwd     => sub { $_[0]->say(SpellShell::Files::here(), $OK) },
    echo    => sub { my ($self, @words) = @_; $self->say("@words", $OK) },
    chant   => \&chant,
    clear   => sub { $_[0]{out}->write("\e[H\e[2J\e[3J"); $OK },
    history => \&print_history,
    help    => \&help,
    exit    => \&leave,
    learn   => \&learn,
    cast    => \&cast,
    spells  => \&print_spells,
    forget  => \&forget,
);

# A game that prints to `out` and keeps its spells in `book`.
sub new {
    my ($class, $out, $book) = @_;
    return bless { out => $out, book => $book, history => [], forgotten_lines => 0, status => $OK, depth => 0 }, $class;
}

sub commands { return sort keys %COMMANDS }
sub spells   { return $_[0]{book}->spells }

# Prints the banner and how the spellbook fares.
sub welcome {
    my ($self) = @_;
    my ($out, $book) = @$self{qw(out book)};
    $out->write(text('welcome.txt'));
    my $spells = keys %{ $book->spells };
    $out->line("(your spellbook holds $spells spell" . ($spells == 1 ? ')' : 's)')) if $spells;
    $self->tell_trouble;
}

# Reads the book anew if it was replaced, without a word unless something is wrong with it.
sub refresh {
    my ($self) = @_;
    $self->{book}->refresh;
    $self->tell_trouble;
}

# Says what is wrong with the book, once for each book.
sub tell_trouble {
    my ($self) = @_;
    my ($out, $book) = @$self{qw(out book)};
    my ($skipped, $is_kept) = $book->take_trouble or return;
    my $were = $skipped == 1 ? 'line of the spellbook could not be read and was' : 'lines of the spellbook could not be read and were';
    $out->line("($skipped $were left out)") if $skipped;
    $out->line('(there is no spellbook to write in: spells last only until you leave)') if !$is_kept;
}

# The names Tab offers, as they are now: the book may have been replaced while the prompt waited.
sub spell_names {
    my ($self) = @_;
    $self->{book}->refresh;
    return sort keys %{ $self->spells };
}

# One of the texts that both shells share.
sub text {
    my ($name) = @_;
    open my $file, '<', "$TEXT/$name" or return '';
    local $/;
    return scalar <$file>;
}

# Runs one line as it was typed. Returns the line when it went into the history.
sub run_line {
    my ($self, $typed) = @_;
    my $refusal = !SpellShell::Spell::is_utf8($typed) ? 'that was not UTF-8; the line is dropped'
        : length $typed > $SpellShell::Spell::LINE_MAX_BYTES ? 'that line is too long (4096 bytes at most)'
        :                                                      undef;
    if ($refusal) {
        $self->{status} = $MISUSED;
        $self->{out}->line($refusal);
        return;
    }
    $self->{out}->begin_command;
    my $line       = SpellShell::Spell::clean($typed);
    my $remembered = $self->remember($line);
    $self->{depth} = 0;
    if (!eval { $self->run($line, []); 1 }) {
        my $why = ref $@ eq 'ARRAY' ? $@->[0] : '';
        if    ($why eq 'interrupted') { $self->{status} = $INTERRUPTED }
        elsif ($why eq 'abandoned')   { $self->{status} = $FAILED }
        else                          { die $@ }
    }
    return $remembered ? $line : undef;
}

sub remember {
    my ($self, $line) = @_;
    my $history = $self->{history};
    return 0 if $line =~ /\A[ \t]*\z/ || @$history && $history->[-1] eq $line;
    push @$history, $line;
    if (@$history > $HISTORY_MAX_LINES) {
        shift @$history;
        $self->{forgotten_lines}++;
    }
    return 1;
}

# Runs a line's commands; the status is the last one's.
sub run {
    my ($self, $line, $args) = @_;
    my ($commands, $error) = SpellShell::Spell::parse($line);
    if (!$commands) {
        $self->{status} = $MISUSED;
        $self->{out}->line("not understood: $error");
        return;
    }
    for my $command (@$commands) {
        $self->{out}->check;
        $self->refresh;
        my $words = SpellShell::Spell::fill_in($command, $args, $self->{status});
        if (!$words) {
            $self->{out}->line('too long once its $ are filled in (64 KiB at most)');
            die ['abandoned'];
        }
        my ($name, @words) = @$words or next;
        my $code = $COMMANDS{$name};
        $self->{status} = $code ? $code->($self, @words) : $self->unknown($name);
    }
}

sub unknown {
    my ($self, $name) = @_;
    return $self->say("$name: no such command, but a spell (try: cast $name)", $UNKNOWN) if exists $self->spells->{$name};
    return $self->say("$name: no such command (try: help)", $UNKNOWN);
}

# Prints a line and comes to a status.
sub say {
    my ($self, $text, $status) = @_;
    $self->{out}->line($text);
    return $status;
}

# Does the same for every path; the status tells whether all went well.
sub for_paths {
    my ($self, $command, $code, @paths) = @_;
    my $status = $OK;
    for my $path (@paths) {
        my $trouble = $code->($path);
        $status = $self->say("$command: $path: $trouble", $FAILED) if defined $trouble;
    }
    return $status;
}

sub ls {
    my ($self, @paths) = @_;
    @paths = ('.') if !@paths;
    return $self->for_paths('ls', sub { scalar SpellShell::Files::list($self->{out}, $_[0], @paths > 1) }, @paths);
}

sub cat {
    my ($self, @paths) = @_;
    return $self->say('cat: say which file', $MISUSED) if !@paths;
    return $self->for_paths('cat', sub { scalar SpellShell::Files::show($self->{out}, $_[0]) }, @paths);
}

sub cd {
    my ($self, $path) = @_;
    return $self->for_paths('cd', sub { scalar SpellShell::Files::enter($_[0]) }, $path // $SpellShell::Files::HOME);
}

sub chant {
    my ($self, @words) = @_;
    my ($times) = @words ? $words[0] =~ /\A-([0-9]{1,9})\z/ : ();
    shift @words if defined $times;
    my $line      = (@words ? "@words" : 'om') . "\n";
    my $per_block = POSIX::ceil($CHANT_BLOCK_BYTES / length $line);
    my $block     = $line x $per_block;
    while (!defined $times) {
        $self->{out}->write($block);
    }
    while ($times > 0) {
        my $now = $times < $per_block ? $times : $per_block;
        $self->{out}->write($now == $per_block ? $block : $line x $now);
        $times -= $now;
    }
    return $OK;
}

sub print_history {
    my ($self) = @_;
    my $number = $self->{forgotten_lines};
    $self->{out}->write(join '', map { sprintf "%5d  %s\n", ++$number, $_ } @{ $self->{history} });
    return $OK;
}

sub help {
    my ($self, $topic) = @_;
    if (!defined $topic) {
        $self->{out}->write(text('help.txt'));
        return $OK;
    }

    # Commands stand after two spaces at the start of their line.
    my @found = $topic eq '' ? () : grep { /\A  ([^ ]+)/ && $1 eq $topic } split /\n/, text('help.txt');
    return $self->say("help: nothing is known about $topic (try: help)", $FAILED) if !@found;
    return $self->say(join("\n", @found), $OK);
}

sub leave {
    my ($self, $status) = @_;
    $status //= '0';
    return $self->say('exit: N is a number from 0 to 255', $MISUSED) if $status !~ /\A[0-9]{1,9}\z/ || $status > 255;
    $self->{out}->line('Farewell.');
    die ['exit', $status + 0];
}

sub learn {
    my ($self, $name, @body) = @_;
    my $body = join ' ', @body;
    return $self->say('learn: say a name and what the spell does', $MISUSED) if $body eq '';
    return $self->say("learn: $name is no name for a spell (64 bytes at most, none of ; ' \" \\ \$)", $MISUSED)
        if !SpellShell::Spell::is_name($name);
    return $self->say('learn: that spell is too long (4096 bytes at most)', $MISUSED)
        if length $body > $SpellShell::Spell::LINE_MAX_BYTES;
    my ($commands, $error) = SpellShell::Spell::parse($body);
    return $self->say("learn: $error", $MISUSED) if !$commands;
    my $result = $self->{book}->learn($name, $body);
    return $self->say("learned $name",      $OK) if $result eq 'learned';
    return $self->say("learned $name anew", $OK) if $result eq 'relearned';
    return $self->not_kept('learn', $result);
}

sub not_kept {
    my ($self, $command, $result) = @_;
    my $why = $result eq 'full'
        ? 'the spellbook is full (512 KiB of spells); forget one first'
        : 'the spellbook could not be written; this lasts only until you leave';
    return $self->say("$command: $why", $FAILED);
}

sub cast {
    my ($self, $name, @args) = @_;
    return $self->say('cast: say which spell', $MISUSED) if !defined $name;
    my $body = $self->spells->{$name};
    return $self->say("cast: there is no spell called $name (try: spells)", $FAILED) if !defined $body;
    if ($self->{depth} >= $CAST_DEPTH_MAX) {
        $self->{out}->line('cast: spells nest 16 deep, no deeper');
        die ['abandoned'];
    }
    $self->{depth}++;
    $self->{status} = $OK;
    $self->run($body, \@args);
    $self->{depth}--;
    return $self->{status};
}

sub print_spells {
    my ($self) = @_;
    my $spells = $self->spells;
    return $self->say('no spells yet; try: learn greet echo Hello, $1!', $OK) if !%$spells;
    $self->{out}->write(join '', map { "$_: $spells->{$_}\n" } sort keys %$spells);
    return $OK;
}

sub forget {
    my ($self, $name) = @_;
    return $self->say('forget: say which spell', $MISUSED) if !defined $name;
    my $result = $self->{book}->forget($name);
    return $self->say("forgot $name", $OK) if $result eq 'forgot';
    return $self->say("forget: there is no spell called $name (try: spells)", $FAILED) if $result eq 'unknown';
    return $self->not_kept('forget', $result);
}

1;
