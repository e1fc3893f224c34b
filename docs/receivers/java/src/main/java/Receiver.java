// Takes webhooks at PORT and prints each alert once. RED_WEBHOOK_SECRET is the subscription's secret.
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.standardwebhooks.Webhook;
import com.standardwebhooks.exceptions.WebhookVerificationException;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.http.HttpHeaders;
import java.nio.charset.StandardCharsets;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

public class Receiver {
    // in a service: a unique column of the database that the work writes to
    private static final Set<String> seen = ConcurrentHashMap.newKeySet();
    private static final ExecutorService work = Executors.newSingleThreadExecutor();
    private static Webhook webhook;

    public static void main(String[] arguments) throws Exception {
        webhook = new Webhook(System.getenv("RED_WEBHOOK_SECRET"));
        int port = Integer.parseInt(System.getenv().getOrDefault("PORT", "3000"));
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.createContext("/", Receiver::take);
        server.start();
    }

    private static void take(HttpExchange exchange) throws IOException {
        // the bytes as they came: they are UTF-8
        String body = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
        int status = 204;
        try {
            webhook.verify(body, HttpHeaders.of(exchange.getRequestHeaders(), (name, value) -> true));
            JsonObject event = JsonParser.parseString(body).getAsJsonObject();
            if (seen.add(exchange.getRequestHeaders().getFirst("webhook-id"))) {
                work.submit(() -> act(event)); // after the answer
            }
        } catch (WebhookVerificationException | RuntimeException error) {
            status = 400;
        }
        exchange.sendResponseHeaders(status, -1);
        exchange.close();
    }

    private static void act(JsonObject event) {
        JsonObject data = event.getAsJsonObject("data");
        switch (event.get("type").getAsString()) {
            case "red.alert" -> System.out.printf("alert %d: image %s has %.2f%% red%n",
                data.get("seq").getAsLong(), data.get("image_id").getAsString(), 100 * data.get("red").getAsDouble());
            case "red.digest" -> System.out.printf("alerts %d to %d: up to %.2f%% red%n",
                data.get("first_seq").getAsLong(), data.get("last_seq").getAsLong(),
                100 * data.get("max_red").getAsDouble());
            default -> { } // of a later version
        }
    }
}
