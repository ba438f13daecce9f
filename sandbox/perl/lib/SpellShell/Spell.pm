# The little language: a line becomes commands, a command's words are filled in when it runs.
# Pure functions, no I/O. The twin of `sandbox/rust/src/spell.rs`.
package SpellShell::Spell;

use strict;
use warnings;

our $LINE_MAX_BYTES  = 4096;

# A word counts one byte more than it has: nothing, a great many times, is not nothing.
our $WORDS_MAX_BYTES = 64 * 1024;
our $NAME_MAX_BYTES  = 64;

my $CHAR = qr/[\x00-\x7f]|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}
    |\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}/x;

# Reads a whole line. Returns the commands, or nothing and why not.
sub parse {
    my ($line) = @_;
    my (@commands, @command);
    pos($line) = 0;
    while (1) {
        $line =~ /\G[ \t]+/gc;
        my ($word, $error) = parse_word(\$line);
        return (undef, $error) if $error;
        push @command, $word if @{ $word->{pieces} } || $word->{quoted};
        my $at_end = pos($line) == length $line;
        if ($at_end || $line =~ /\G;/gc) {
            push @commands, [@command] if @command;
            return \@commands if $at_end;
            @command = ();
        }
        elsif (@command == 1 && is_learn($command[0])) {
            my ($name, $spell) = substr($line, pos $line) =~ /\A[ \t]*([^ \t]*)[ \t]*(.*?)[ \t]*\z/s;
            push @command, map { { pieces => [[text => $_]], quoted => 1 } } grep { length } $name, $spell;
            return [@commands, \@command];
        }
    }
}

sub is_learn {
    my ($word) = @_;
    my @pieces = @{ $word->{pieces} };
    return @pieces == 1 && $pieces[0][0] eq 'text' && $pieces[0][1] eq 'learn';
}

# Reads one word, up to the blank or `;` that ends it.
sub parse_word {
    my ($line) = @_;
    my %word = (pieces => [], quoted => 0);
    while (1) {
        my $next = substr $$line, pos $$line, 1;
        return \%word if $next eq '' || $next =~ /[ \t;]/;
        if ($$line =~ /\G'/gc) {
            $word{quoted} = 1;
            $$line =~ /\G([^']*)'/gc or return (undef, 'a quote is not closed');
            add_text(\%word, $1);
        }
        elsif ($$line =~ /\G"/gc) {
            $word{quoted} = 1;
            parse_double_quotes(\%word, $line) or return (undef, 'a quote is not closed');
        }
        elsif ($$line =~ /\G\\/gc) {
            $word{quoted} = 1;
            $$line =~ /\G($CHAR)/gc or return (undef, 'a backslash at the end');
            add_text(\%word, $1);
        }
        elsif (!parse_dollar(\%word, $line)) {
            $$line =~ /\G([^ \t;'"\\\$]+)/gc;
            add_text(\%word, $1);
        }
    }
}

# Reads up to the closing quote; false when there is none.
sub parse_double_quotes {
    my ($word, $line) = @_;
    while (1) {
        return 1 if $$line =~ /\G"/gc;
        if ($$line =~ /\G\\(["\\\$])/gc || $$line =~ /\G(\\)/gc || $$line =~ /\G([^"\\\$]+)/gc) {
            add_text($word, $1);
        }
        elsif (!parse_dollar($word, $line)) {
            return 0;
        }
    }
}

# Reads a `$` and what belongs to it; false when there is none.
sub parse_dollar {
    my ($word, $line) = @_;
    return 0 if $$line !~ /\G\$/gc;
    if    ($$line =~ /\G([1-9])/gc) { push @{ $word->{pieces} }, [arg => $1] }
    elsif ($$line =~ /\G\*/gc)      { push @{ $word->{pieces} }, ['all'] }
    elsif ($$line =~ /\G\?/gc)      { push @{ $word->{pieces} }, ['status'] }
    else                            { add_text($word, '$') }
    return 1;
}

sub add_text {
    my ($word, $text) = @_;
    return if $text eq '';
    my $last = $word->{pieces}[-1];
    if   ($last && $last->[0] eq 'text') { $last->[1] .= $text }
    else                                 { push @{ $word->{pieces} }, [text => $text] }
}

# Fills in a command's words, or returns nothing when they get too long.
sub fill_in {
    my ($command, $args, $status) = @_;
    my @words;
    my $budget = $WORDS_MAX_BYTES;
    for my $word (@$command) {
        my @pieces = @{ $word->{pieces} };
        if (@pieces == 1 && $pieces[0][0] eq 'all' && !$word->{quoted}) {
            for my $arg (@$args) {
                ($budget -= 1 + length $arg) >= 0 or return;
                push @words, $arg;
            }
            next;
        }
        my $text = '';
        for my $piece (@pieces) {
            my ($kind, $value) = @$piece;
            if    ($kind eq 'arg')    { $value = $args->[$value - 1] // '' }
            elsif ($kind eq 'all')    { $value = join ' ', @$args }
            elsif ($kind eq 'status') { $value = "$status" }
            ($budget -= length $value) >= 0 or return;
            $text .= $value;
        }
        if ($text ne '' || $word->{quoted}) {
            --$budget >= 0 or return;
            push @words, $text;
        }
    }
    return \@words;
}

# Whether a spell may be called this.
sub is_name {
    my ($name) = @_;
    return length $name && length $name <= $NAME_MAX_BYTES && $name !~ /[\x00-\x20\x7f;'"\\\$]/;
}

# Control characters, which a paste or Ctrl-V can bring, count as spaces.
sub clean {
    my ($line) = @_;
    $line =~ tr/\x00-\x08\x0a-\x1f\x7f/ /;
    return $line;
}

# Whether bytes are UTF-8.
sub is_utf8 {
    my ($bytes) = @_;
    return $bytes =~ /\A(?:$CHAR)*+\z/;
}

1;
