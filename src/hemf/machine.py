"""What the machine is called that a number was measured on."""

import platform


def cpu_name() -> str:
    """Model name of the processor, as its maker writes it; its architecture where that is not known."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:  # not Linux
        names = []
    return names[0] if names else platform.processor() or platform.machine()
