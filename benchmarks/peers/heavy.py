"""The small application, after the import of a site: Django, and as much compiling as the first import of a release
without bytecode has to do.
"""

from pathlib import Path

import django.db
from page import page as page
from small import application as application

for file in sorted(Path(django.db.__file__).parent.rglob("*.py")):
    compile(file.read_text(), file, "exec")
