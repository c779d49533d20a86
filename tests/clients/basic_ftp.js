"use strict";
// One command of the basic-ftp client: node basic_ftp.js MODE PORT USER PASSWORD COMMAND [ARGUMENT]...
const fs = require("fs");
const { Client } = require("basic-ftp");

const [mode, port, user, password, command, ...words] = process.argv.slice(2);
const commands = {
    put: (client, local, remote) => client.uploadFrom(local, remote),
    get: (client, remote, local) => client.downloadTo(local, remote),
    resume_get: (client, remote, local) => client.downloadTo(local, remote, fs.statSync(local).size),
    resume_put: async (client, local, remote) =>
        client.appendFrom(local, remote, { localStart: await client.size(remote) }),
    names: async (client, folder) => {
        for (const entry of await client.list(folder)) {
            console.log(entry.name);
        }
    },
    rename: (client, before, after) => client.rename(before, after),
    delete: (client, path) => client.remove(path),
    make_folder: (client, path) => client.ensureDir(path),
    put_all: (client, local, remote) => client.uploadFromDir(local, remote),
    get_all: (client, remote, local) => client.downloadToDir(local, remote),
    login: () => {},
};

async function main() {
    const client = new Client(60000);
    const secure = { plain: false, explicit: true, implicit: "implicit" }[mode];
    const secureOptions = { rejectUnauthorized: false };
    try {
        await client.access({ host: "127.0.0.1", port: Number(port), user, password, secure, secureOptions });
        await commands[command](client, ...words);
    } catch (error) {
        console.error(String(error));
        process.exitCode = 1;
    }
    client.close();
}

main();
