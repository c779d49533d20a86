#!/usr/bin/perl
# One command of Perl's Net::FTP: perl net_ftp.pl MODE PORT USER PASSWORD COMMAND [ARGUMENT]...
use strict;
use warnings;
use Net::FTP;

my ($mode, $port, $user, $password, $command, @words) = @ARGV;
my $ftp = Net::FTP->new("127.0.0.1", Port => $port, Passive => $mode ne "active", Timeout => 60)
    or die "no connection: $@\n";

sub done { my ($result) = @_; defined $result or die $ftp->code . " " . $ftp->message; return $result }

sub put_from {
    my ($local, $remote, $position) = @_;
    open(my $file, "<:raw", $local) or die "$local: $!\n";
    seek($file, $position, 0);
    $ftp->restart($position) if $position;
    done($ftp->put($file, $remote));
}

my %commands = (
    put => sub { done($ftp->put(@_)) },
    get => sub { done($ftp->get(@_)) },
    resume_get => sub { my ($remote, $local) = @_; done($ftp->get($remote, $local, -s $local)) },
    resume_put => sub { my ($local, $remote) = @_; put_from($local, $remote, done($ftp->size($remote))) },
    names => sub { s{.*/}{}, print "$_\n" for @{ done(scalar $ftp->ls(@_)) } },
    rename => sub { done($ftp->rename(@_) || undef) },
    delete => sub { done($ftp->delete(@_) || undef) },
    make_folder => sub { done($ftp->mkdir(@_)) },
    put_all => sub {
        my ($local, $remote) = @_;
        done($ftp->mkdir($remote));
        done($ftp->cwd($remote) || undef);
        done($ftp->put($_)) for glob("$local/*");
    },
    get_all => sub {
        my ($remote, $local) = @_;
        mkdir($local);
        chdir($local) or die "$local: $!\n";
        done($ftp->cwd($remote) || undef);
        done($ftp->get($_)) for @{ done(scalar $ftp->ls) };
    },
    login => sub { },
);

$ftp->login($user, $password) or die $ftp->code . " " . $ftp->message;
$ftp->binary;
$commands{$command}->(@words);
$ftp->quit;
