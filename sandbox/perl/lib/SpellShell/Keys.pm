# Makes what readline understands of the bytes that terminals send: each key has one spelling afterwards, and a key that
# means nothing in this game has none.
#
# The state between two bytes and nothing else; no I/O, no clock: an escape sequence may come in pieces. The twin of
# `sandbox/rust/src/keys.rs`, and `tests/dockerd/keys.rs` holds both against one table.
package SpellShell::Keys;

use strict;
use warnings;

our $DELETE = "\x1d";
our $PASTE  = "\x1c";
our $FULL   = "\x1e";
our $QUOTE  = "\cV";

# In place of a character that is cut off, which readline would wait for the end of: it is shown, and is no UTF-8.
my $CUT = "\xff";

# The longest sequence that any terminal sends is far below this; what is longer is left out.
my $SEQUENCE_MAX_BYTES = 64;
my $PASTE_END          = "\e[201~";
my $CONTROL            = qr/[\cA-\cH\cI\cJ\cK\cL\cM\cN\cP\cR\cT\cU\cW\cY\x1f]/;
my $ALT                = qr/[bfdyulc.<>_]/;

# A decoder for pastes of at most `paste_max` bytes.
sub new {
    my ($class, $paste_max) = @_;
    return bless {
        state     => 'ground',
        bytes     => '',
        has_alt   => 0,
        is_quoted => 0,
        char      => '',
        char_left => 0,
        paste     => '',
        paste_max => $paste_max,
    }, $class;
}

# Takes a byte; what readline is to be given for it, which may be nothing.
sub push {
    my ($self, $byte) = @_;
    my $state = $self->{state};
    return $self->$state($byte);
}

# What was pasted last, its newlines `\n`.
sub pasted { $_[0]{paste} }

sub reset {
    my ($self) = @_;
    @$self{qw(state bytes has_alt)} = ('ground', '', 0);
}

# A character is given whole.
sub ground {
    my ($self, $byte) = @_;
    if ($self->{char_left} && $byte =~ /[\x80-\xbf]/) {
        $self->{char} .= $byte;
        return --$self->{char_left} ? '' : $self->{char};
    }
    my $cut = $self->{char_left} ? $CUT : '';
    $self->{char_left} = 0;
    if ($byte =~ /[\xc2-\xf4]/) {
        $self->{is_quoted} = 0;
        @$self{qw(char char_left)} = ($byte, $byte lt "\xe0" ? 1 : $byte lt "\xf0" ? 2 : 3);
        return $cut;
    }
    return $cut . $self->single($byte);
}

sub single {
    my ($self, $byte) = @_;
    if ($self->{is_quoted}) {
        $self->{is_quoted} = 0;
        return $byte;
    }
    if ($byte eq "\e") {
        $self->{state} = 'escape';
        return '';
    }
    if ($byte eq "\cQ" || $byte eq "\cV") {
        $self->{is_quoted} = 1;
        return $QUOTE;
    }
    return "\x7f" if $byte eq "\cH";
    return $byte =~ /[\x00-\x1f]/ && $byte !~ $CONTROL ? '' : $byte;
}

sub escape {
    my ($self, $byte) = @_;

    # ESC ESC [ C is Alt and the arrow to some.
    if ($byte eq "\e") {
        $self->{has_alt} = 1;
        return '';
    }
    if ($byte eq '[' || $byte eq 'O') {
        @$self{qw(state bytes)} = ('sequence', $byte);
        return '';
    }
    $self->reset;
    return "\e\x7f" if $byte eq "\x7f" || $byte eq "\cH";

    # An ESC alone means nothing, and the key behind it is one of its own.
    return $self->ground($byte) if $byte =~ /[\x00-\x1f\x80-\xff]/;
    return lc($byte) =~ $ALT ? "\e" . lc $byte : '';
}

sub sequence {
    my ($self, $byte) = @_;
    if ($byte lt ' ') {

        # No sequence has one: it was cut off, and this is the next key.
        $self->reset;
        return $self->ground($byte);
    }
    my $bytes = $self->{bytes} .= $byte;
    if ($bytes eq '[[') {
        $self->{state} = 'console';
        return '';
    }

    # rxvt ends with a $ what comes with Shift.
    if ($byte eq '$' ? $bytes !~ /\A.[^?].*\$/ || $bytes !~ /[0-9]/ : $byte le '?') {
        $self->reset if length $bytes > $SEQUENCE_MAX_BYTES;
        return '';
    }
    my $key = key_of($bytes, $self->{has_alt});
    $self->reset;
    $self->{state} = 'paste_on' if $key eq $PASTE;
    return $key eq $PASTE ? '' : $key;
}

# Behind `ESC [ [`: a key of the Linux console.
sub console {
    my ($self) = @_;
    $self->reset;
    return '';
}

sub paste_on {
    my ($self, $byte) = @_;

    # Should its end be lost, the player is not.
    if ($byte eq "\cC") {
        $self->reset;
        return $byte;
    }
    $self->{bytes} .= $byte;
    my $limit = $self->{paste_max} + length $PASTE_END;
    my $bytes = length $self->{bytes};
    if (substr($self->{bytes}, -length $PASTE_END) ne $PASTE_END) {

        # Its end is still to be found.
        substr $self->{bytes}, $limit, $bytes - $limit - length $PASTE_END, '' if $bytes > 2 * $limit;
        return '';
    }
    $self->{paste} = substr $self->{bytes}, 0, $bytes - length $PASTE_END;
    $self->{paste} =~ s/\r\n?/\n/g;
    $self->reset;
    return $bytes > $limit ? $FULL : $PASTE;
}

# What a whole sequence without its ESC means; most mean nothing here.
sub key_of {
    my ($bytes, $has_alt) = @_;
    my ($kind, $middle, $last) = $bytes =~ /\A(.)(.*)(.)\z/s or return '';
    my ($number, $second) = map { /\A[0-9]{1,3}\z/ && $_ < 256 ? $_ + 0 : undef } split /;/, $middle, -1;

    # Some write ESC [ 5 C for ESC [ 1 ; 5 C.
    my $modifiers = $second // ($last =~ /[a-zA-Z]/ ? $number : undef) // 1;
    $modifiers-- if $modifiers;

    # Alt is 2, Ctrl is 4, and rxvt writes Ctrl in small letters behind an O, Shift behind a [.
    my $is_rxvt_control = $kind eq 'O' && $last =~ /[a-z]/;
    my $by_word         = $has_alt || $modifiers & 6 || $is_rxvt_control;
    if ($last =~ /[~\$^@]/) {
        my $which = $number // 0;
        return $PASTE if $which == 200 && $last eq '~';
        return "\cA"  if $which == 1 || $which == 7;
        return "\cE"  if $which == 4 || $which == 8;
        return ''     if $which != 3;
        return $last =~ /[\^@]/ || $last eq '~' && $by_word ? "\ed" : $DELETE;
    }
    return "\cA" if $last eq 'H';
    return "\cE" if $last eq 'F';
    return $modifiers || $has_alt ? '' : "\cP" if $last eq 'A';
    return $modifiers || $has_alt ? '' : "\cN" if $last eq 'B';
    return $by_word ? "\ef" : "\cF" if $last eq 'C';
    return $by_word ? "\eb" : "\cB" if $last eq 'D';
    return "\r" if $bytes eq 'OM';

    if ($middle eq '' && ($last eq 'c' || $last eq 'd')) {
        return ($is_rxvt_control ? { c => "\ef", d => "\eb" } : { c => "\cF", d => "\cB" })->{$last};
    }
    return '';
}

1;
