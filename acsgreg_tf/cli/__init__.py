"""Command lines: argparse, progress, printing and exit codes."""
