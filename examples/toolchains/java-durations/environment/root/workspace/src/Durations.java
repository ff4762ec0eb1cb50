/** Durations such as 2d3h4m5s. */
public final class Durations {
    private Durations() {}

    /** The seconds that a text stands for. */
    public static long parse(String text) {
        throw new UnsupportedOperationException("not written yet");
    }

    /** The shortest text for so many seconds. */
    public static String format(long seconds) {
        throw new UnsupportedOperationException("not written yet");
    }
}
