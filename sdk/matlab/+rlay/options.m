function made = options(varargin)
%OPTIONS Options of a backend, as names and values: rlay.options('kwargs', {'size'}, 'token', 'an example of a token').
%   token             a secret that both ends know; the environment variable RLAY_TOKEN unless given
%   maxSessions       how many agents play at a time; 1
%   maxFrame          longest frame that is accepted, in bytes; 2^26
%   reconnectTimeout  for how many seconds a session outlives its connection; 30. If it is given, a dialer also tries
%                     again where the connection is refused
%   kwargs            names of the keyword arguments that agents may give, a cell of texts
%   exactTypes        whether values are given as they are, instead of plain ones; false
%   log               function that takes each line of the log; standard error
  made = struct('token', getenv('RLAY_TOKEN'), 'maxSessions', 1, 'maxFrame', 2^26, 'reconnectTimeout', [], 'kwargs', {{}}, ...
    'exactTypes', false, 'log', @(text) fprintf(2, 'rlay: %s\n', text));
  if mod(nargin, 2) ~= 0
    error('rlay:usage', 'options are names, each with a value behind it');
  end
  given = rlay.chars(varargin);
  names = fieldnames(made);
  for i = 1:2:nargin
    if ~ischar(given{i})
      error('rlay:usage', 'options are names, each with a value behind it');
    elseif ~any(strcmp(given{i}, names))
      error('rlay:usage', 'there is no option %s; there are: %s', given{i}, strjoin(names.', ', '));
    end
    made.(given{i}) = given{i + 1};
  end
  if ~ischar(made.token) && ~isempty(made.token)
    error('rlay:usage', 'the token is a text');
  end
  made.token = char(made.token);
  visible = made.token(~isspace(made.token) & made.token > 32 & made.token ~= 127);
  % In Octave the bytes 128 to 191 go on with a character that has begun.
  if exist('OCTAVE_VERSION', 'builtin')
    visible = visible(visible < 128 | visible > 191);
  end
  if ~isempty(made.token) && numel(visible) < 8
    error('rlay:usage', 'the token, of token or RLAY_TOKEN, has less than eight visible characters');
  end
  rlay.checkIntegers(made.maxSessions, 1, 'maxSessions');
  if ~isscalar(made.maxSessions)
    error('rlay:usage', 'maxSessions is a number from 1');
  end
  rlay.checkIntegers(made.maxFrame, 65536, 'maxFrame');
  if ~isscalar(made.maxFrame) || made.maxFrame > 2^32 - 2
    error('rlay:usage', 'maxFrame is a number of bytes from 65536 to 2^32-2');
  end
  timeout = made.reconnectTimeout;
  if ~isempty(timeout) && ~(isnumeric(timeout) && isscalar(timeout) && timeout >= 0)
    error('rlay:usage', 'reconnectTimeout is a number of seconds, or []');
  elseif ~iscellstr(made.kwargs)
    error('rlay:usage', 'kwargs is a cell of names');
  elseif ~isa(made.log, 'function_handle')
    error('rlay:usage', 'log is a function that takes a line');
  end
end
