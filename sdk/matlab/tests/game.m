function game(varargin)
%GAME The program `game` of sdk/tests/GAME.md: hosts the environments Drift and Echo.
  given = struct('dial', '', 'listen', '', 'sessions', '1');
  for i = 1:2:nargin
    given.(strrep(varargin{i}, '--', '')) = varargin{i + 1};
  end
  options = rlay.options('kwargs', {'case'}, 'exactTypes', true, ...
    'maxSessions', str2double(given.sessions));
  if isempty(given.listen)
    host = rlay.ClientBackend(@make, given.dial, options);
  else
    host = rlay.ServerBackend(@make, given.listen, options);
    fprintf('listening at %s\n', host.address);
    fflush(stdout);
  end
  host.run();
end

function env = make(wanted)
  if strcmp(wanted.envId, 'Echo')
    % No field can have the name of a keyword.
    env = Echo(wanted.kwargs.get('case'));
  elseif ischar(wanted.envId) && ~strcmp(wanted.envId, 'Drift')
    error('game:name', 'no environment named %s', wanted.envId);
  else
    env = Drift(wanted.renderMode);
  end
end
