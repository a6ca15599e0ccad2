# A message centre made of Net::SMPP, for one session at a time. What it sees
# goes to standard output, a JSON object a line; what it shall do comes as such
# on standard input.
use strict;
use warnings;
use Net::SMPP;
use JSON::PP;
use Encode;
use IO::Select;

$| = 1;
$SIG{__WARN__} = sub { print STDERR @_ unless $_[0] =~ /Unknown tag|premature eof/ };
my $json = JSON::PP->new->canonical->utf8;
sub tell_us { print $json->encode({@_}), "\n" }

my $listener = Net::SMPP->new_listen('127.0.0.1', port => 0, smpp_version => 0x34) or die "listening: $!";
tell_us(saw => 'listening', port => $listener->sockport);
my ($throttle, $form, $next) = (0, 'text', 6699);
my ($session, $partial) = (undef, '');
my $select = IO::Select->new($listener, \*STDIN);

sub decoded {
    my ($coding, $octets) = @_;
    return $coding == 8 ? decode('UTF-16BE', $octets) : decode('gsm0338', $octets);
}

sub command {
    my $c = $json->decode(shift);
    $throttle = $c->{throttle} if exists $c->{throttle};
    $form = $c->{form} if exists $c->{form};
    my $s = $session;
    if (exists $c->{text}) {
        my $ascii = $c->{text} =~ /^[ -~]*$/;
        $s->deliver_sm(async => 1, source_addr_ton => 1, source_addr_npi => 1, source_addr => $c->{from}, destination_addr => '56767',
            data_coding => $ascii ? 0 : 8, short_message => $ascii ? $c->{text} : encode('UTF-16BE', $c->{text}));
    }
    $s->enquire_link(async => 1) if $c->{enquire};
    $s->unbind(async => 1) if $c->{unbind};
}

sub submit {
    my ($s, $p) = @_;
    if ($throttle > 0) {
        $throttle--;
        $s->submit_sm_resp(message_id => '', seq => $p->{seq}, status => 0x58);
        return;
    }
    my ($octets, $part, $payload) = ($p->{short_message}, undef, JSON::PP::false);
    if ($p->{esm_class} & 0x40) {
        my ($length, $element, $size, @p) = unpack 'CCCCCC', $octets;
        die 'a header that is not a concatenation' unless $length == 5 && $element == 0 && $size == 3;
        ($part, $octets) = ([map { $_ + 0 } @p], substr $octets, 6);
    } elsif (defined $p->{sar_total_segments}) {
        $part = [unpack('n', $p->{sar_msg_ref_num}), unpack('C', $p->{sar_total_segments}), unpack('C', $p->{sar_segment_seqnum})];
    } elsif (defined $p->{message_payload}) {
        ($octets, $payload) = ($p->{message_payload}, JSON::PP::true);
    }
    my $id = $next++;
    my $text = decoded($p->{data_coding}, $octets);
    tell_us(saw => 'submit_sm', to => $p->{destination_addr}, from => $p->{source_addr}, ton => $p->{source_addr_ton} + 0, coding => $p->{data_coding} + 0,
        text => $text, part => $part, payload => $payload,
        validity => $p->{validity_period} =~ /^0000(\d\d)(\d\d)(\d\d)/ ? int($1 * 24 + $2 + ($3 > 29)) : 0,
        tlvs => { map { defined $p->{$_} ? ($_ => $p->{$_}) : () } 5120, 5121, 5122 });
    # As in Appendix B, decimal in both.
    $s->submit_sm_resp(message_id => $id, seq => $p->{seq}, status => 0);
    return unless $p->{registered_delivery};
    my ($stat, $state) = $text =~ /fail/ ? ('UNDELIV', 5) : ('DELIVRD', 2);
    my @how = $form eq 'text'
        ? (short_message => sprintf 'id:%010d sub:001 dlvrd:001 submit date:2601011200 done date:2601011201 stat:%s err:000 text:x', $id, $stat)
        : (short_message => '', receipted_message_id => "$id\0", message_state => pack('C', $state));
    $s->deliver_sm(async => 1, esm_class => 4, source_addr_ton => 1, source_addr_npi => 1, source_addr => $p->{destination_addr}, destination_addr => $p->{source_addr}, @how);
}

sub unit {
    my $s = shift;
    my $p = $s->read_pdu;
    if (!$p) {
        tell_us(saw => 'close');
        $select->remove($s);
        close $s;
        $session = undef;
        return;
    }
    my $cmd = $p->{cmd};
    if ($cmd == Net::SMPP::CMD_bind_transceiver) {
        my $good = $p->{password} eq 'secret';
        tell_us(saw => 'bind_transceiver', system_id => $p->{system_id}, version => $p->{interface_version} + 0, good => $good ? JSON::PP::true : JSON::PP::false);
        $s->bind_transceiver_resp(seq => $p->{seq}, system_id => 'perl', status => $good ? 0 : 0x0e);
    } elsif ($cmd == Net::SMPP::CMD_submit_sm) {
        submit($s, $p);
    } elsif ($cmd == Net::SMPP::CMD_enquire_link) {
        tell_us(saw => 'enquire_link');
        $s->enquire_link_resp(seq => $p->{seq});
    } elsif ($cmd == Net::SMPP::CMD_unbind) {
        tell_us(saw => 'unbind');
        $s->unbind_resp(seq => $p->{seq});
    } elsif ($cmd == 0x80000005) {
        tell_us(saw => 'deliver_sm_resp', status => $p->{status} + 0);
    } elsif ($cmd == 0x80000015) {
        tell_us(saw => 'enquire_link_resp', status => $p->{status} + 0);
    } elsif ($cmd == 0x80000006) {
        tell_us(saw => 'unbind_resp', status => $p->{status} + 0);
        shutdown $s, 2;
    } else {
        tell_us(saw => sprintf('%08x', $cmd));
    }
}

while (1) {
    for my $ready ($select->can_read) {
        if ($ready == $listener) {
            $session = $listener->accept or die "accepting: $!";
            $session->autoflush(1);
            $select->add($session);
        } elsif (fileno($ready) == fileno(STDIN)) {
            sysread(STDIN, $partial, 65536, length $partial) or exit 0;
            command($1) while $partial =~ s/^(.*)\n//;
        } elsif ($session && $ready == $session) {
            unit($session);
        }
    }
}
