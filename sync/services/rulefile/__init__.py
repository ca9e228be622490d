"""Rules as a file: instances and rules from YAML and to YAML. Loading what was dumped changes nothing."""

from sync.services.rulefile.dumping import UnknownInstance, dump_rules
from sync.services.rulefile.format import Refused
from sync.services.rulefile.loading import load_rules
from sync.services.rulefile.reading import RuleFileError
from sync.services.rulefile.report import Report

__all__ = ["Refused", "Report", "RuleFileError", "UnknownInstance", "dump_rules", "load_rules"]
