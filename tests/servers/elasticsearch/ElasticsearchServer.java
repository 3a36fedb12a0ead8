import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.Node;

/**
 * One Elasticsearch node. Arguments: the configuration directory, then settings as key=value.
 * It closes in good order on SIGTERM, and stops at once when standard input ends: the other end of
 * that pipe is the process that started it, so no node outlives that, however it dies.
 */
public final class ElasticsearchServer {
    private static final long CLOSE_SECONDS = 20;

    public static void main(String[] arguments) {
        try {
            run(arguments);
        } catch (Throwable e) {
            // Threads of the half-made node would keep the process alive.
            e.printStackTrace();
        }
        Runtime.getRuntime().halt(1);
    }

    private static void run(String[] arguments) throws Exception {
        Settings.Builder settings = Settings.builder();
        for (int i = 1; i < arguments.length; i++) {
            String[] pair = arguments[i].split("=", 2);
            settings.put(pair[0], pair[1]);
        }
        LogConfigurator.configureESLogging();
        Node node = new Node(new Environment(settings.build(), Path.of(arguments[0])));
        Runtime.getRuntime().addShutdownHook(new Thread(() -> close(node)));
        node.start();
        while (System.in.read() >= 0) {}
    }

    private static void close(Node node) {
        try {
            node.close();
            node.awaitClose(CLOSE_SECONDS, TimeUnit.SECONDS);
        } catch (Exception e) {
            e.printStackTrace();
        }
    }
}
