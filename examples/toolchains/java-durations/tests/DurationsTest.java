/** Tests that report in TAP; nothing of JUnit is needed. */
public class DurationsTest {
    private static int number = 0;

    private static void report(String name, boolean right) {
        System.out.println((right ? "ok " : "not ok ") + ++number + " - " + name);
    }

    private static boolean refused(String text) {
        try {
            Durations.parse(text);
            return false;
        } catch (IllegalArgumentException expected) {
            return true;
        }
    }

    private static boolean check(java.util.function.BooleanSupplier body) {
        try {
            return body.getAsBoolean();
        } catch (RuntimeException error) {
            System.err.println(error);
            return false;
        }
    }

    public static void main(String[] arguments) {
        System.out.println("1..4");
        report("all units", check(() -> Durations.parse("2d3h4m5s") == 183845));
        report("some units", check(() -> Durations.parse("90m") == 5400 && Durations.parse("1d1s") == 86401));
        report("faults", check(() -> refused("") && refused("5") && refused("1s1h") && refused("1h 1s")
                && refused("-1s") && refused("1m1m") && refused("1234567890123s") && refused("\u0661s")));
        report("format", check(() -> Durations.format(3600).equals("1h") && Durations.format(0).equals("0s")
                && Durations.format(183845).equals("2d3h4m5s") && Durations.format(60).equals("1m")));
    }
}
