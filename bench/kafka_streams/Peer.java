import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsOptions;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.processor.api.ContextualFixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.state.BuiltInDslStoreSuppliers;
import org.apache.kafka.streams.state.WindowStore;

/**
 * Kafka Streams with a windowed aggregate behind its record cache, as its guide has it.
 *
 * <p>Takes a Job as JSON (bench/job.py); its last line says what was measured and what the changelog holds.
 */
public final class Peer {
  private static final String STORE = "counts";
  private static final int BINS = 100;
  private static final int COUNTS_BYTES = 8 + 8 + 8 + 4 * BINS;
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final ObjectReader READER = JSON.readerFor(Measured.class);
  private static final ObjectWriter WRITER = JSON.writerFor(Alert.class);
  private static final AtomicInteger DONE = new AtomicInteger();

  private static volatile long startedWall;
  private static volatile long startedCpu;

  /** What the job needs of an event. */
  @JsonIgnoreProperties(ignoreUnknown = true)
  record Measured(
      @JsonProperty("image_id") String imageId,
      @JsonProperty("client_id") String clientId,
      @JsonProperty("measured_at") String measuredAt,
      @JsonProperty("red") double red) {}

  record Alert(
      @JsonProperty("image_id") String imageId,
      @JsonProperty("client_id") String clientId,
      @JsonProperty("red") double red) {}

  /** Counts of one client and minute. */
  static final class Counts {
    long images;
    long redSum;
    long over;
    final int[] bins = new int[BINS];

    Counts add(double red, boolean isOver) {
      int redBp = (int) (red * 10_000 + 0.5);
      images++;
      redSum += redBp;
      over += isOver ? 1 : 0;
      bins[Math.min(redBp / BINS, BINS - 1)]++;
      return this;
    }

    static byte[] write(Counts counts) {
      if (counts == null) {
        return null;
      }
      ByteBuffer buffer = ByteBuffer.allocate(COUNTS_BYTES);
      buffer.putLong(counts.images).putLong(counts.redSum).putLong(counts.over);
      buffer.asIntBuffer().put(counts.bins);
      return buffer.array();
    }

    static Counts read(byte[] bytes) {
      if (bytes == null) {
        return null;
      }
      ByteBuffer buffer = ByteBuffer.wrap(bytes);
      Counts counts = new Counts();
      counts.images = buffer.getLong();
      counts.redSum = buffer.getLong();
      counts.over = buffer.getLong();
      buffer.asIntBuffer().get(counts.bins);
      return counts;
    }
  }

  /** Starts the watch and has each partition commit at once after its last event. */
  static final class Counting extends ContextualFixedKeyProcessor<String, Measured, Measured> {
    private final JsonNode ends;
    private final int warm;

    Counting(JsonNode job) {
      ends = job.get("end");
      warm = job.get("warm").asInt();
    }

    @Override
    public void process(FixedKeyRecord<String, Measured> record) {
      var place = context().recordMetadata().orElseThrow();
      if (DONE.getAndIncrement() == warm) {
        startedCpu = cpu();
        startedWall = System.nanoTime();
      }
      context().forward(record);
      if (place.offset() == ends.get(Integer.toString(place.partition())).asLong() - 1) {
        context().commit();
      }
    }
  }

  public static void main(String[] arguments) throws Exception {
    JsonNode job = JSON.readTree(arguments[0]);
    int events = 0;
    for (var end : job.get("end").properties()) {
      events += end.getValue().asInt() - job.get("start").get(end.getKey()).asInt();
    }
    try (KafkaStreams streams = new KafkaStreams(topology(job).build(), settings(job))) {
      streams.setUncaughtExceptionHandler(
          error -> {
            error.printStackTrace();
            Runtime.getRuntime().halt(1);
            return null;
          });
      streams.start();
      while (DONE.get() < events) {
        Thread.sleep(1);
      }
      untilCommitted(job);
      long wall = System.nanoTime() - startedWall;
      long cpu = cpu() - startedCpu;
      streams.close(Duration.ofSeconds(10));
      tell(job, events - job.get("warm").asInt(), wall / 1e9, cpu / 1e9);
    }
  }

  private static StreamsBuilder topology(JsonNode job) {
    Map<String, Double> thresholds = new HashMap<>();
    job.get("thresholds").properties().forEach(one -> thresholds.put(one.getKey(), one.getValue().asDouble()));
    StreamsBuilder builder = new StreamsBuilder();
    Serde<Measured> reading = serde(null, READER::readValue);
    Consumed<String, Measured> how =
        Consumed.with(Serdes.String(), reading)
            .withTimestampExtractor(
                (record, before) -> Instant.parse(((Measured) record.value()).measuredAt()).toEpochMilli());
    KStream<String, Measured> measured =
        builder.stream(job.get("topic").asText(), how).processValues(() -> new Counting(job));
    measured
        .filter((client, event) -> event.red() > thresholds.get(client))
        .mapValues(event -> new Alert(event.imageId(), event.clientId(), event.red()))
        .to(
            job.get("name").asText() + "-alerts",
            Produced.with(Serdes.String(), serde(WRITER::writeValueAsBytes, null)));
    measured
        .groupByKey(Grouped.with(Serdes.String(), null))
        .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofMinutes(1), Duration.ofHours(25)))
        .aggregate(
            Counts::new,
            (client, event, counts) -> counts.add(event.red(), event.red() > thresholds.get(client)),
            Materialized.<String, Counts, WindowStore<Bytes, byte[]>>as(STORE)
                .withKeySerde(Serdes.String())
                .withValueSerde(serde(Counts::write, Counts::read))
                .withCachingEnabled());
    return builder;
  }

  /** For throughput: large fetches, a cache that holds every open window, two threads for two cores. */
  private static Properties settings(JsonNode job) {
    Properties settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, job.get("name").asText());
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, job.get("bootstrap").asText());
    settings.put(StreamsConfig.STATE_DIR_CONFIG, job.get("folder").asText());
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, job.get("how").asText());
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
    settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 256L << 20);
    // Exactly once it is 100 ms by default, else 30 s; alerts wait for it exactly once, and so much is
    // done again after a crash else. One second spares most of the writes of either.
    settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 1000);
    settings.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 20_000);
    // In memory as role live's; RocksDB, the default, takes about a fifth more for 60 windows.
    settings.put(
        StreamsConfig.DSL_STORE_SUPPLIERS_CLASS_CONFIG,
        BuiltInDslStoreSuppliers.InMemoryDslStoreSuppliers.class);
    settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    settings.put(StreamsConfig.TOPOLOGY_OPTIMIZATION_CONFIG, StreamsConfig.OPTIMIZE);
    settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 20_000);
    settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 4 << 20);
    settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 << 10);
    settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 5);
    return settings;
  }

  private static void untilCommitted(JsonNode job) throws Exception {
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", (Object) job.get("bootstrap").asText()))) {
      String group = job.get("name").asText();
      while (true) {
        var offsets =
            admin
                .listConsumerGroupOffsets(group, new ListConsumerGroupOffsetsOptions().requireStable(true))
                .partitionsToOffsetAndMetadata()
                .get();
        boolean reached = true;
        for (var end : job.get("end").properties()) {
          var partition = new TopicPartition(job.get("topic").asText(), Integer.parseInt(end.getKey()));
          var at = offsets.get(partition);
          reached &= at != null && at.offset() >= end.getValue().asLong();
        }
        if (reached) {
          return;
        }
        Thread.sleep(5);
      }
    }
  }

  /** Sums up the last committed value of each window in the changelog. */
  private static void tell(JsonNode job, int events, double seconds, double cpu) {
    String changelog = job.get("name").asText() + "-" + STORE + "-changelog";
    Map<String, Counts> last = new HashMap<>();
    Map<String, Object> how =
        Map.of("bootstrap.servers", job.get("bootstrap").asText(), "isolation.level", "read_committed");
    var bytes = new ByteArrayDeserializer();
    try (var consumer = new KafkaConsumer<>(how, bytes, bytes)) {
      List<TopicPartition> all =
          consumer.partitionsFor(changelog).stream().map(p -> new TopicPartition(changelog, p.partition())).toList();
      consumer.assign(all);
      consumer.seekToBeginning(all);
      Map<TopicPartition, Long> ends = consumer.endOffsets(all);
      while (all.stream().anyMatch(partition -> consumer.position(partition) < ends.get(partition))) {
        consumer
            .poll(Duration.ofMillis(100))
            .forEach(r -> last.put(new String(r.key(), StandardCharsets.ISO_8859_1), Counts.read(r.value())));
      }
    }
    long images = last.values().stream().mapToLong(counts -> counts.images).sum();
    long over = last.values().stream().mapToLong(counts -> counts.over).sum();
    System.out.printf(
        "{\"events\": %d, \"seconds\": %f, \"cpu\": %f, \"images\": %d, \"over\": %d}%n",
        events, seconds, cpu, images, over);
  }

  private static long cpu() {
    return ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
  }

  private interface Writing<T> {
    byte[] write(T value) throws Exception;
  }

  private interface Reading<T> {
    T read(byte[] bytes) throws Exception;
  }

  private static <T> Serde<T> serde(Writing<T> writing, Reading<T> reading) {
    Serializer<T> serializer =
        (topic, value) -> {
          try {
            return writing.write(value);
          } catch (Exception error) {
            throw new IllegalStateException(error);
          }
        };
    Deserializer<T> deserializer =
        (topic, bytes) -> {
          try {
            return reading.read(bytes);
          } catch (Exception error) {
            throw new IllegalStateException(error);
          }
        };
    return Serdes.serdeFrom(serializer, deserializer);
  }
}
