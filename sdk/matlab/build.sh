#!/bin/sh
# Checks the syntax of the client and its programs; there is nothing to compile.
set -e
cd "$(dirname "$0")"
octave-cli --no-gui --quiet --norc --eval '
  isWrong = false;
  files = [glob("+rlay/*.m"); glob("tests/*.m")];
  for i = 1:numel(files)
    try
      __parse_file__(fullfile(pwd, files{i}));
    catch err
      isWrong = true;
      fprintf(stderr, "%s: %s\n", files{i}, err.message);
    end
  end
  exit(isWrong);'
