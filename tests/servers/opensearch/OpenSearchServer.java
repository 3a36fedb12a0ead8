import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.opensearch.common.logging.LogConfigurator;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.ingest.common.IngestCommonPlugin;
import org.opensearch.node.Node;
import org.opensearch.painless.PainlessPlugin;
import org.opensearch.script.mustache.MustachePlugin;
import org.opensearch.transport.Netty4Plugin;

/**
 * One OpenSearch node. Arguments: the configuration directory, then settings as key=value.
 * It closes in good order on SIGTERM, and stops at once when standard input ends: the other end of
 * that pipe is the process that started it, so no node outlives that, however it dies.
 */
public final class OpenSearchServer extends Node {
    private static final long CLOSE_SECONDS = 20;

    private OpenSearchServer(Environment environment) {
        super(
            environment,
            List.of(
                Netty4Plugin.class,
                IngestCommonPlugin.class,
                PainlessPlugin.class,
                MustachePlugin.class),
            false);
    }

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
        settings.put("http.type", "netty4").put("transport.type", "netty4");
        for (int i = 1; i < arguments.length; i++) {
            String[] pair = arguments[i].split("=", 2);
            settings.put(pair[0], pair[1]);
        }
        LogConfigurator.registerErrorListener();
        Node node = new OpenSearchServer(new Environment(settings.build(), Path.of(arguments[0])));
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
