import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.RandomAccessFile;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.time.temporal.ChronoUnit;
import java.util.Arrays;
import java.util.TreeSet;
import org.apache.commons.net.ftp.FTP;
import org.apache.commons.net.ftp.FTPClient;
import org.apache.commons.net.ftp.FTPFile;
import org.apache.commons.net.ftp.FTPSClient;
import org.apache.commons.net.util.TrustManagerUtils;

/** One command of Apache Commons Net: java CommonsNet.java MODE PORT USER PASSWORD COMMAND [ARGUMENT]... */
public final class CommonsNet {
    private static final DateTimeFormatter STAMP =
            DateTimeFormatter.ofPattern("yyyyMMddHHmmss").withZone(ZoneOffset.UTC);

    private static FTPClient ftp;

    private static void done(boolean result) throws IOException {
        if (!result) {
            throw new IOException(ftp.getReplyString());
        }
    }

    private static FTPClient client(String mode) {
        if (!mode.equals("explicit") && !mode.equals("implicit")) {
            return new FTPClient();
        }
        FTPSClient secure = new FTPSClient(mode.equals("implicit"));
        secure.setTrustManager(TrustManagerUtils.getAcceptAllTrustManager());
        return secure;
    }

    private static void login(String mode, int port, String user, String password) throws IOException {
        ftp = client(mode);
        ftp.setControlEncoding("UTF-8");
        ftp.connect("127.0.0.1", port);
        done(ftp.login(user, password));
        if (ftp instanceof FTPSClient) {
            ((FTPSClient) ftp).execPBSZ(0);
            ((FTPSClient) ftp).execPROT("P");
        }
        if (mode.equals("active")) {
            ftp.enterLocalActiveMode();
        } else {
            ftp.enterLocalPassiveMode();
            ftp.setUseEPSVwithIPv4(true);
        }
        done(ftp.setFileType(FTP.BINARY_FILE_TYPE));
    }

    private static void put(String local, String remote) throws IOException {
        try (InputStream file = new FileInputStream(local)) {
            done(ftp.storeFile(remote, file));
        }
        Instant changed = Instant.ofEpochMilli(new File(local).lastModified()).truncatedTo(ChronoUnit.SECONDS);
        done(ftp.setModificationTime(remote, STAMP.format(changed)));
        if (!changed.equals(ftp.mdtmInstant(remote))) {
            throw new IOException("MFMT and MDTM differ: " + changed + " " + ftp.mdtmInstant(remote));
        }
    }

    private static void get(String remote, String local, boolean goOn) throws IOException {
        if (goOn) {
            ftp.setRestartOffset(new File(local).length());
        }
        try (OutputStream file = new FileOutputStream(local, goOn)) {
            done(ftp.retrieveFile(remote, file));
        }
    }

    private static void resumePut(String local, String remote) throws IOException {
        long there = ftp.mlistFile(remote).getSize();
        ftp.setRestartOffset(there);
        try (RandomAccessFile file = new RandomAccessFile(local, "r")) {
            file.seek(there);
            done(ftp.storeFile(remote, new FileInputStream(file.getFD())));
        }
    }

    private static TreeSet<String> names(FTPFile[] entries) {
        TreeSet<String> names = new TreeSet<>();
        Arrays.stream(entries).map(FTPFile::getName).forEach(names::add);
        return names;
    }

    /** The names in a folder, which LIST (whose form is found out by SYST) and MLSD must agree about. */
    private static TreeSet<String> names(String folder) throws IOException {
        TreeSet<String> lines = names(ftp.listFiles(folder));
        TreeSet<String> facts = names(ftp.mlistDir(folder, entry -> !entry.getName().matches("[.]{1,2}|/")));
        if (!lines.equals(facts)) {
            throw new IOException("LIST and MLSD differ: " + lines + " " + facts);
        }
        return lines;
    }

    private static void putAll(String local, String remote) throws IOException {
        done(ftp.makeDirectory(remote));
        done(ftp.changeWorkingDirectory(remote));
        for (File file : new File(local).listFiles()) {
            put(file.getPath(), file.getName());
        }
    }

    private static void getAll(String remote, String local) throws IOException {
        new File(local).mkdir();
        done(ftp.changeWorkingDirectory(remote));
        for (String name : ftp.listNames()) {
            get(name, local + "/" + name, false);
        }
    }

    private static void command(String command, String first, String second) throws IOException {
        switch (command) {
            case "put": put(first, second); break;
            case "get": get(first, second, false); break;
            case "resume_put": resumePut(first, second); break;
            case "resume_get": get(first, second, true); break;
            case "names": names(first).forEach(System.out::println); break;
            case "rename": done(ftp.rename(first, second)); break;
            case "delete": done(ftp.deleteFile(first)); break;
            case "make_folder": done(ftp.makeDirectory(first)); break;
            case "put_all": putAll(first, second); break;
            case "get_all": getAll(first, second); break;
            case "login": break;
            default: throw new IllegalArgumentException(command);
        }
    }

    public static void main(String[] words) throws IOException {
        String[] padded = Arrays.copyOf(words, 7);
        try {
            login(words[0], Integer.parseInt(words[1]), words[2], words[3]);
            command(words[4], padded[5], padded[6]);
            done(ftp.logout());
        } finally {
            ftp.disconnect();
        }
    }
}
