function varargout = descriptor(make)
%DESCRIPTOR What make returns, a function of which the first result is the descriptor of a new socket in Octave.
%   Raises an error where the program has too many open files for it.
  % Octave opens a file for each function when it is called first, so one descriptor is to stay free.
  other = fopen([mfilename('fullpath') '.m']);
  if other < 0
    error('rlay:lost', 'too many open files');
  end
  closesOther = onCleanup(@() fclose(other)); %#ok<NASGU>
  varargout = cell(1, max(nargout, 1));
  [varargout{:}] = make();
  if varargout{1} >= 1024
    % Of these, select would end the program.
    disconnect(varargout{1});
    error('rlay:lost', 'too many open files; sockets need a descriptor below 1024');
  end
end
