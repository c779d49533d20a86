<?php
// One command of PHP's ftp extension: php php_ftp.php MODE PORT USER PASSWORD COMMAND [ARGUMENT]...

// A warning is how the extension tells what the server said.
set_error_handler(function (int $level, string $words): never {
    throw new RuntimeException($words);
});

function done(mixed $result): mixed
{
    return $result === false || $result === -1 ? throw new RuntimeException("it failed and says nothing") : $result;
}

/** Drives a transfer that does not block to its end. */
function driven(FTP\Connection $ftp, int $state): void
{
    while ($state === FTP_MOREDATA) {
        $state = ftp_nb_continue($ftp);
    }
    done($state === FTP_FINISHED);
}

/** The names in a folder, which its three kinds of listing must agree about. */
function names(FTP\Connection $ftp, string $folder): void
{
    $plain = array_map("basename", done(ftp_nlist($ftp, $folder)));
    $entries = done(ftp_mlsd($ftp, $folder));
    $entries = array_filter($entries, fn($entry) => in_array($entry["type"], ["file", "dir"], true));
    $facts = array_column($entries, "name");
    $lines = array_map(fn($line) => preg_split("/ +/", $line, 9)[8], done(ftp_rawlist($ftp, $folder)));
    sort($plain);
    sort($facts);
    sort($lines);
    done($plain === $facts && $plain === $lines);
    print(implode("\n", $plain) . "\n");
}

[, $mode, $port, $user, $password, $command] = $argv;
$words = array_slice($argv, 6);
$commands = [
    "put" => fn($ftp, $local, $remote) => driven($ftp, ftp_nb_put($ftp, $remote, $local, FTP_BINARY)),
    "get" => fn($ftp, $remote, $local) => driven($ftp, ftp_nb_get($ftp, $local, $remote, FTP_BINARY)),
    "resume_put" => fn($ftp, $local, $remote) => done(ftp_put($ftp, $remote, $local, FTP_BINARY, FTP_AUTORESUME)),
    "resume_get" => fn($ftp, $remote, $local) => done(ftp_get($ftp, $local, $remote, FTP_BINARY, FTP_AUTORESUME)),
    "names" => names(...),
    "rename" => fn($ftp, $old, $new) => done(ftp_rename($ftp, $old, $new)),
    "delete" => fn($ftp, $path) => done(ftp_delete($ftp, $path)),
    "make_folder" => fn($ftp, $path) => done(ftp_mkdir($ftp, $path) === $path),
    "put_all" => function ($ftp, $local, $remote) {
        done(ftp_mkdir($ftp, $remote));
        done(ftp_chdir($ftp, $remote));
        foreach (glob("$local/*") as $path) {
            done(ftp_put($ftp, basename($path), $path));
        }
    },
    "get_all" => function ($ftp, $remote, $local) {
        mkdir($local);
        done(ftp_chdir($ftp, $remote));
        foreach (done(ftp_nlist($ftp, ".")) as $name) {
            done(ftp_get($ftp, "$local/" . basename($name), $name));
        }
    },
    "login" => fn() => null,
];

try {
    $connect = $mode === "explicit" ? ftp_ssl_connect(...) : ftp_connect(...);
    $ftp = done($connect("127.0.0.1", (int) $port, 60));
    done(ftp_login($ftp, $user, $password));
    done(ftp_pasv($ftp, $mode !== "active"));
    $commands[$command]($ftp, ...$words);
    done(ftp_close($ftp));
} catch (Throwable $error) {
    fwrite(STDERR, $error->getMessage() . "\n");
    exit(1);
}
