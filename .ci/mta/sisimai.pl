#!/usr/bin/perl
# sisimai.pl DIR: what Sisimai says about each DIR/*.eml, one line a recipient: file, address, reason, softbounce, action.
# Prints nothing for a message that it does not know. Needs libsisimai-perl.
use strict;
use warnings;
use Sisimai;
my $rise = Sisimai->can('rise') ? 'rise' : 'make';
for my $path (sort glob("$ARGV[0]/*.eml")) {
    my $found = Sisimai->$rise($path, delivered => 1, vacation => 0) or next;
    my ($file) = $path =~ m{([^/]+)$};
    for my $one (@$found) {
        my $hard = $one->can('hardbounce') ? ($one->hardbounce ? 0 : 1) : $one->softbounce;
        print join("\t", $file, $one->recipient->address, $one->reason, $hard, $one->action), "\n";
    }
}
