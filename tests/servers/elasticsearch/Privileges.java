import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.Set;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.xpack.core.security.authz.permission.ClusterPermission;
import org.elasticsearch.xpack.core.security.authz.privilege.ClusterPrivilegeResolver;
import org.elasticsearch.xpack.core.security.authz.privilege.IndexPrivilege;

/**
 * Says which actions the privileges of Elasticsearch's security allow, as Elasticsearch's own code
 * has it. Each line of standard input is `cluster|index PRIVILEGE ACTION`; each line of the output
 * `true` or `false`.
 */
public final class Privileges {
    public static void main(String[] arguments) throws Exception {
        LogConfigurator.configureESLogging();
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            String[] words = line.split(" ", 3);
            System.out.println(
                words[0].equals("cluster")
                    ? ofCluster(words[1], words[2])
                    : IndexPrivilege.get(Set.of(words[1])).predicate().test(words[2]));
        }
    }

    private static boolean ofCluster(String privilege, String action) {
        ClusterPermission.Builder builder = ClusterPermission.builder();
        ClusterPrivilegeResolver.resolve(privilege).buildPermission(builder);
        return builder.build().check(action, null, null);
    }
}
