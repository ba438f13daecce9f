# What Tab makes of the word before the cursor, in quotes or not. The twin of `sandbox/rust/src/tab.rs`.
package SpellShell::Tab;

use strict;
use warnings;

use SpellShell::Files;
use SpellShell::Shell;
use SpellShell::Spell;

# What Tab offers behind this text: what goes on with the word, and otherwise what it may become. Both are empty when
# nothing begins like this. `spells` gives the names of the spells.
sub offer {
    my ($before, $spells) = @_;
    my ($word, $quote, $command) = begun($before);
    my @found
        = !defined $command || $command eq 'help' ? starting($word, SpellShell::Shell::commands())
        : $command eq 'cast' || $command eq 'forget' ? starting($word, $spells->())
        :                                              SpellShell::Files::complete($word);
    return ('') if !@found;
    my $more = quoted(substr(common_start(@found), length $word), $quote);
    $more .= "$quote " if @found == 1 && $found[0] !~ m{/\z};
    return ($more, $more eq '' ? @found : ());
}

# Reads a line up to the cursor, as the language does: the word there without quotes and backslashes, the quote that is
# still open, and the command whose word it is.
sub begun {
    my ($before) = @_;
    my ($word, $quote, $command) = (undef, '', undef);
    while ($before =~ /\G(.)/gcs) {
        my $next = $1;
        if ($quote eq "'") {
            if   ($next eq $quote) { $quote = '' }
            else                   { $word .= $next }
        }
        elsif ($next eq '\\' && $before =~ ($quote ? qr/\G(["\\\$])/ : qr/\G(.)/s) && $before =~ /\G(.)/gcs) {
            $word .= $1;
        }
        elsif ($next eq $quote) {
            $quote = '';
        }
        elsif ($quote eq '' && $next =~ /['"]/) {
            $quote = $next;
            $word //= '';
        }
        elsif ($quote eq '' && $next =~ /[ \t;\n]/) {
            $command //= $word;
            $command = undef if $next =~ /[;\n]/;
            $word    = undef;
        }
        else {
            $word .= $next;
        }
    }
    return ($word // '', $quote, $command);
}

# Text as it is written within that quote, or without any.
sub quoted {
    my ($text, $quote) = @_;
    if    ($quote eq "'") { $text =~ s/'/'\\''/g }
    elsif ($quote eq '"') { $text =~ s/(["\\\$])/\\$1/g }
    else                  { $text =~ s/([ \t;'"\\\$])/\\$1/g }
    return $text;
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
