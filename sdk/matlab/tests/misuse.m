function misuse(varargin)
%MISUSE Calls the client wrongly, and expects errors.
%   Without arguments it makes every mistake that takes no agent; with --listen ADDRESS it hosts environments that are
%   wrong in the way that the id says, and a log that fails.
  if nargin == 2
    host = rlay.ServerBackend(@(wanted) makeWrong(wanted.envId), varargin{2}, 'log', @(text) error('log:fails', text));
    current(host);
    fprintf('listening at %s\n', host.address);
    fflush(stdout);
    host.run();
    disp('closed');
    return
  end
  mistakeSpaces();
  mistakeValues();
  mistakeOptions();
  mistakeAddresses();
  mistakeBackends();
  disp('all mistakes are errors');
end

function expect(identifier, text, mistake)
  % Fails unless the mistake raises this error, and the message has this text.
  try
    mistake();
  catch err
    hasText = isempty(text) || ~isempty(strfind(err.message, text)); %#ok<STREMP>
    if ~strcmp(err.identifier, identifier) || ~hasText
      error('misuse:other', 'another error instead of %s: %s (%s)', text, err.message, err.identifier);
    end
    return
  end
  error('misuse:accepted', 'not refused: %s', text);
end

function refuses(text, mistake)
  expect('rlay:usage', text, mistake);
end

function mistakeSpaces()
  refuses('NaN', @() rlay.Box(NaN, 1, 2));
  refuses('NaN', @() rlay.Box(0, NaN, 2, 'int32'));
  refuses('NaN', @() rlay.Box([0 NaN], [1 1], 2));
  refuses('Inf', @() rlay.Box(Inf, Inf, []));
  refuses('-Inf', @() rlay.Box(-Inf, -Inf, []));
  refuses('no numbers', @() rlay.Box('0', 1, 2));
  refuses('above the high one', @() rlay.Box(1, 0, 2));
  refuses('above the high one', @() rlay.Box([0 3], [1 2], 2));
  refuses('above the high one', @() rlay.Box(true, false, 2, 'bool'));
  refuses('cannot hold', @() rlay.Box(0, 256, 2, 'uint8'));
  refuses('cannot hold', @() rlay.Box(-1, 1, 2, 'uint64'));
  refuses('cannot hold', @() rlay.Box(0.5, 1, 2, 'int8'));
  refuses('the shape', @() rlay.Box(0, 1, -2));
  refuses('the shape', @() rlay.Box(0, 1, 1.5));
  refuses('the shape', @() rlay.Box(0, 1, 'two'));
  refuses('2^40 bytes', @() rlay.Box(0, 1, [2^40 2]));
  refuses('do not fit', @() rlay.Box([0 0], [1 1 1], 2));
  for n = {0, -3, 2.5, NaN, Inf, '3', {}, [], [2 3], 2^64}
    refuses('Discrete', @() rlay.Discrete(n{1}));
  end
  refuses('the start', @() rlay.Discrete(3, NaN));
  refuses('integer dtype', @() rlay.Discrete(3, 0, 'float32'));
  refuses('MultiBinary', @() rlay.MultiBinary(-1));
  for n = [0 2.5 NaN]
    refuses('the counts', @() rlay.MultiDiscrete([3 n]));
  end
  refuses('do not fit', @() rlay.MultiDiscrete([3 4], 1));
  refuses('the starts', @() rlay.MultiDiscrete([3 4], [1 0.5]));
  for n = {-1, 2.5, NaN, '2', [1 2]}
    refuses('Text', @() rlay.Text(n{1}));
  end
  refuses('least length', @() rlay.Text(2, 3));
  refuses('least length', @() rlay.Text(2, -1));
  refuses('charset', @() rlay.Text(2, 1, 5));
  for spaces = {5, {5}, {[]}, struct(), 'space'}
    refuses('', @() rlay.Tuple(spaces{1}));
    refuses('', @() rlay.OneOf(spaces{1}));
    refuses('', @() rlay.Dict('a', spaces{1}));
    refuses('', @() rlay.Sequence(spaces{1}));
    refuses('', @() rlay.Graph(spaces{1}));
    refuses('', @() rlay.Graph(rlay.Discrete(2), spaces{1}));
  end
  refuses('behind each key', @() rlay.Dict('a'));
  refuses('twice', @() rlay.Dict('a', rlay.Discrete(2), 'a', rlay.Discrete(2)));
  refuses('no space', @() rlay.OneOf({}));
end

function mistakeValues()
  refuses('6 elements', @() rlay.NdArray('float32', 4, 1:6));
  refuses('the shape', @() rlay.NdArray('int8', -1, []));
  refuses('no numbers', @() rlay.NdArray('float32', 1, {1}));
  refuses('cannot hold', @() rlay.NdArray('int8', 1, 128));
  refuses('cannot hold', @() rlay.NdArray('int8', 1, NaN));
end

function mistakeOptions()
  refuses('eight visible', @() rlay.options('token', 'seven 7'));
  refuses('eight visible', @() rlay.options('token', sprintf('\t           \n')));
  refuses('a text', @() rlay.options('token', 12345678));
  for n = {-1, Inf, NaN, 2^32, '1'}
    refuses('maxFrame', @() rlay.options('maxFrame', n{1}));
  end
  for n = {0, 1.5, Inf, [1 2], '1'}
    refuses('maxSessions', @() rlay.options('maxSessions', n{1}));
  end
  for n = {-1, NaN, '1'}
    refuses('reconnectTimeout', @() rlay.options('reconnectTimeout', n{1}));
  end
  refuses('kwargs', @() rlay.options('kwargs', 'size'));
  refuses('kwargs', @() rlay.options('kwargs', {5}));
  refuses('log', @() rlay.options('log', 'file'));
  refuses('maxFrames;', @() rlay.options('maxFrames', 2^20));
  refuses('a value behind it', @() rlay.options('token'));
  refuses('a value behind it', @() rlay.options(5, 5));
end

function mistakeAddresses()
  wrong = {'localhost', 'tcp://', 'tcp://localhost', 'tcp://:5005', 'tcp://localhost:-1', 'tcp://localhost:70000', ...
    'tcp://localhost: 5', 'tcp://127.0.0.1:0?mtu=9', 'tcp://127.0.0.1:0/path', 'tcp://0.0.0.0:0', ''};
  for address = wrong
    expect('rlay:address', '', @() rlay.ServerBackend(@struct, address{1}));
  end
  for address = {'unix:///tmp/game', 'shm://game', 'zmq://127.0.0.1:5005', 'ws://127.0.0.1:5005'}
    expect('rlay:address', 'use tcp:// at both ends', @() rlay.ServerBackend(@struct, address{1}));
    expect('rlay:address', 'use tcp:// at both ends', @() rlay.ClientBackend(@struct, address{1}));
  end
  expect('rlay:address', 'RLAY_ADDRESS', @() rlay.ClientBackend(@struct, ''));
  first = rlay.ServerBackend(@struct, 'tcp://127.0.0.1:0');
  expect('rlay:address', 'another program', @() rlay.ServerBackend(@struct, first.address));
  first.close();
end

function mistakeBackends()
  refuses('a function', @() rlay.ServerBackend([], 'tcp://127.0.0.1:0'));
  refuses('a function', @() rlay.ClientBackend('make', 'tcp://127.0.0.1:1'));
  listening = rlay.ServerBackend(@struct, 'tcp://127.0.0.1:0');
  isNone = isempty(listening.poll());
  listening.close();
  listening.close();
  isNone = isNone && isempty(listening.poll());
  listening.run();
  forgotten = rlay.ServerBackend(@struct, 'tcp://127.0.0.1:0');
  address = forgotten.address;
  forgotten = []; %#ok<NASGU>
  silent = rlay.ServerBackend(@struct, address);
  shaking = rlay.ClientBackend(@struct, address);
  for i = 1:3
    shaking.poll();
  end
  started = tic();
  shaking.close();
  isSlow = toc(started) > 0.5;
  silent.close();
  if isSlow
    error('misuse:slow', 'close() waits for a handshake');
  end
  dialing = rlay.ClientBackend(@struct, 'tcp://127.0.0.1:1');
  isNone = isNone && isempty(dialing.poll());
  dialing.close();
  dialing.run();
  if ~isNone
    error('misuse:turn', 'a turn that no agent asked for');
  end
end

function host = current(host)
  % The backend that hosts.
  persistent known
  if nargin > 0
    known = host;
  end
  host = known;
end

function env = makeWrong(how)
  raise(how, 'make');
  if strcmp(how, 'make closes the backend')
    host = current();
    host.close();
  end
  if strcmp(how, 'make gives nothing')
    env = [];
    return
  elseif strcmp(how, 'make gives a number')
    env = 5;
    return
  end
  env = struct('metadata', struct('render_modes', {{'ansi'}}), 'actionSpace', rlay.Discrete(2));
  if ~strcmp(how, 'no space')
    env.observationSpace = rlay.Box(0, 1, 2);
  end
  env.reset = @(seed, options) reset(how);
  env.step = @(action) step(how);
  env.render = @() render(how);
  env.close = @() raise(how, 'close');
  if any(strcmp(how, {'make closes the backend', 'close is seen'}))
    env.close = @() disp('closed an environment');
  end
end

function raise(how, method)
  if strcmp(how, [method ' throws'])
    error('misuse:wanted', '%s', method);
  end
end

function [observation, info] = reset(how)
  raise(how, 'reset');
  if ~strcmp(how, 'reset gives nothing')
    observation = [0 0];
    info = struct();
  end
end

function [observation, reward, terminated, truncated, info] = step(how)
  raise(how, 'step');
  switch how
    case 'step throws what cannot be shown'
      error(struct('message', '', 'identifier', 'misuse:empty', 'stack', struct('file', {}, 'name', {}, ...
        'line', {}, 'column', {})));
    case 'step gives nothing'
      return
    case 'step cannot be sent'
      observation = @() 0;
    otherwise
      observation = [0 0];
  end
  if strcmp(how, 'step closes the backend')
    host = current();
    host.close();
  end
  reward = 0;
  terminated = false;
  truncated = false;
  info = struct();
end

function frame = render(how)
  raise(how, 'render');
  frame = 'frame';
  if strcmp(how, 'render cannot be sent')
    frame = @() 0;
  end
end
