% Runs one of the programs of sdk/tests/GAME.md in Octave: octave-cli main.m game --listen tcp://127.0.0.1:0
% Octave saves all variables where it is ended, unless told otherwise.
sigterm_dumps_octave_core(false);
sighup_dumps_octave_core(false);
folder = fileparts(mfilename('fullpath'));
addpath(folder, fileparts(folder));
given = argv();
feval(given{1}, given{2:end});
