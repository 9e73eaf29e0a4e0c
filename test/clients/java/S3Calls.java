import java.net.URI;
import java.nio.file.Path;
import software.amazon.awssdk.http.auth.aws.signer.AwsV4FamilyHttpSigner;
import software.amazon.awssdk.http.urlconnection.ProxyConfiguration;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.auth.scheme.S3AuthSchemeProvider;

/**
 * What the SDK for Java does: list BUCKET, put BUCKET KEY FILE, get BUCKET KEY FILE, with bodies of signed chunks.
 * The proxy comes from HTTPS_PROXY, the CA from -Djavax.net.ssl.trustStore.
 */
public class S3Calls {
  public static void main(String[] words) {
    var proxy = ProxyConfiguration.builder().endpoint(URI.create(System.getenv("HTTPS_PROXY"))).build();
    var http = UrlConnectionHttpClient.builder().proxyConfiguration(proxy);
    var schemes = S3AuthSchemeProvider.defaultProvider();
    S3AuthSchemeProvider signed = ask -> schemes.resolveAuthScheme(ask).stream()
        .map(scheme -> scheme.toBuilder().putSignerProperty(AwsV4FamilyHttpSigner.PAYLOAD_SIGNING_ENABLED, true).build())
        .toList();
    try (S3Client s3 = S3Client.builder().httpClientBuilder(http).authSchemeProvider(signed).build()) {
      switch (words[0]) {
        case "list" -> s3.listObjectsV2(ask -> ask.bucket(words[1])).contents().forEach(object -> System.out.println(object.key()));
        case "put" -> s3.putObject(ask -> ask.bucket(words[1]).key(words[2]), Path.of(words[3]));
        default -> {
          Path.of(words[3]).toFile().delete();
          s3.getObject(ask -> ask.bucket(words[1]).key(words[2]), Path.of(words[3]));
        }
      }
    } catch (RuntimeException error) {
      System.err.println(error.getMessage());
      System.exit(1);
    }
  }
}
