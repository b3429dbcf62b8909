classdef EnvSession < handle
%ENVSESSION The session of one environment with one agent, without sockets or timers.
%   Sections 10, 13 and 21 of docs/wire.md. Connections bring bytes (dial, or rlay.ServerBackend's), nextTurn gives what
%   the agent asks for, its rlay.Turn takes the answer. isLost: the connection was lost, and another one may take over.
%   isOver: the session has ended, because of failure (struct of identifier and message) if not in order.
  properties
    options
    env = [] % what Make was answered with, for its spaces
    renderMode = []
    steps = 0
    hasBegun = false % whether the agent has asked for an environment
    since
    isOver = false
    isLost = false
    lostAt = 0
    failure = []
    turn = [] % the request that owes an answer
    openEnv = [] % the environment, until the backend has closed it
    isPolled = false % whether openEnv is asked by poll()
    ticket = []
    limit = [] % of frames, in bytes
    received = uint64(0)
    sent = uint64(0)
  end
  properties (Access = private)
    connection = []
    state = 'no env' % then making, open, closing, closed
    isTaken = true
    wasReset = false
    acknowledged = uint64(0)
    kept = {} % what was sent and not acknowledged yet, up to frame number sent
    keptBytes = 0
  end
  methods
    function self = EnvSession(options)
      self.options = options;
      self.since = rlay.clock();
    end
    function connection = dial(self)
      %DIAL A new Connection, for a socket that was dialed: the first, or one that takes over from a lost one.
      self.abandon();
      connection = rlay.Connection(self.options, self, []);
    end
    function turn = nextTurn(self)
      %NEXTTURN What the agent asks for, once, or []. An agent has one request under way.
      turn = [];
      if ~self.isTaken && ~isempty(self.turn)
        self.isTaken = true;
        turn = self.turn;
      end
    end
    function goodbye(self, code, message)
      %GOODBYE Ends the session in order; code is 0 or one of section 11.
      if ~self.isOver
        self.send(9, 0, @(w) rlay.writeBody(w, 9, struct('code', code, 'message', message)));
        self.finish([]);
      end
    end
    function finish(self, failure)
      %FINISH Ends the session, of which the agent is told by the close mark alone.
      if self.isOver
        return
      end
      self.isOver = true;
      self.isLost = false;
      self.failure = failure;
      self.turn = [];
      self.kept = {};
      if ~isempty(self.connection)
        self.connection.finish();
      end
      self.connection = [];
    end

    function abandon(self)
      %ABANDON Goes on without the connection that there is.
      old = self.connection;
      self.connection = [];
      if ~isempty(old)
        old.abort(rlay.failure(10, 'another connection took over'));
      end
    end
    function yes = isBehind(self, connection, peerReceived)
      %ISBEHIND Whether a peer that has received so many frames can go on; ends this connection or the session if not.
      yes = false;
      if peerReceived > self.sent
        self.finish(rlay.failure(8, 'the agent has received a frame that was not sent'));
      elseif self.sent - peerReceived > numel(self.kept)
        % Numbers below one that was acknowledged are of a handshake that a later one has overtaken.
        if peerReceived < self.acknowledged
          connection.abort(rlay.failure(8, 'an old handshake'));
        else
          self.finish(rlay.failure(10, 'more was lost with the connection than was kept'));
        end
      else
        yes = true;
        return
      end
      connection.abort(self.failure);
    end
    function go(self, connection, peerReceived)
      %GO Goes on over a connection whose other end has received so many frames.
      if self.isOver
        connection.abort(rlay.failure(4, 'the session is over'));
        return
      end
      self.connection = connection;
      self.isLost = false;
      self.acknowledge(peerReceived);
      cellfun(@(frame) connection.push(frame), self.kept);
    end
    function lost(self, connection)
      if ~self.isFor(connection)
        return
      end
      self.connection = [];
      if isempty(self.ticket)
        self.finish(rlay.failure(10, 'the connection was lost'));
      else
        self.isLost = true;
        self.lostAt = rlay.clock();
      end
    end
    function closed(self, connection, failure)
      if self.isFor(connection)
        self.finish(failure);
      end
    end
    function violation(self, connection, err)
      if self.isFor(connection)
        said = struct('code', 8, 'fatal', true, 'slots', [], 'errorType', '', 'message', err.message, 'traceback', '');
        self.send(10, 0, @(w) rlay.writeBody(w, 10, said));
        self.finish(rlay.failure(8, err.message));
      end
    end

    function receive(self, connection, frame)
      %RECEIVE Takes a frame of the connection. Raises an error for what breaks the protocol.
      if ~self.isFor(connection)
        return
      end
      message = rlay.readFrame(frame);
      if message.seq ~= self.received + 1
        error('rlay:protocol', 'frame %u behind frame %u', message.seq, self.received);
      elseif message.ack > self.sent || message.re > self.sent
        error('rlay:protocol', 'an acknowledgement of what was not sent');
      end
      self.received = message.seq;
      self.acknowledge(max(message.ack, message.re));
      body = message.body;
      if message.kind == 9 || (message.kind == 10 && body.fatal)
        failure = [];
        if body.code ~= 0
          failure = rlay.failure(body.code, ['the agent ended the session: ' rlay.shown(body.message)]);
        end
        self.finish(failure);
        return
      end
      [code, why] = self.refusal(message.kind, body);
      if code > 0
        self.sendError(message.seq, code, '', why, '');
      else
        self.request(message.kind, message.seq, body);
      end
    end

    function reply(self, turn, varargin)
      self.write(turn, varargin{:});
      switch turn.kind
        case 'reset'
          self.wasReset = true;
        case 'step'
          self.steps = self.steps + 1;
        case 'close'
          self.state = 'closed';
      end
      self.turn = [];
    end
    function answerError(self, turn, code, err)
      errorType = '';
      traceback = '';
      if code == 9
        errorType = err.identifier;
        if isempty(errorType)
          errorType = 'MException';
        end
        traceback = traceOf(err);
      end
      self.sendError(turn.request, code, errorType, err.message, traceback);
      if strcmp(turn.kind, 'make')
        self.state = 'no env';
      elseif strcmp(turn.kind, 'close')
        self.state = 'closed';
      end
      self.turn = [];
    end
  end

  methods (Access = private)
    function yes = isFor(self, connection)
      % Octave 7 cannot compare handles.
      yes = ~isempty(self.connection) && self.connection.number == connection.number;
    end
    function acknowledge(self, seq)
      self.acknowledged = max(self.acknowledged, seq);
      open = double(self.sent - self.acknowledged);
      if open < numel(self.kept)
        self.kept = self.kept(end - open + 1:end);
        self.keptBytes = sum(cellfun(@numel, self.kept));
      end
    end
    function send(self, kind, re, write)
      limit = self.limit;
      if isempty(limit)
        limit = 65536;
      end
      w = rlay.Writer(limit);
      w.header(kind, self.sent + 1, self.received, re);
      write(w);
      frame = w.finish();
      self.sent = self.sent + 1;
      if ~isempty(self.ticket)
        % An agent that acknowledges nothing is not to fill the memory.
        if numel(self.kept) >= 2048 || self.keptBytes + numel(frame) > limit + 65536
          self.kept = {};
          self.keptBytes = 0;
        end
        self.kept{end + 1} = frame;
        self.keptBytes = self.keptBytes + numel(frame);
      end
      if ~isempty(self.connection)
        self.connection.push(frame);
      end
    end
    function sendError(self, re, code, errorType, message, traceback)
      said = struct('code', code, 'fatal', false, 'slots', [], 'errorType', errorType, 'message', message, ...
        'traceback', traceback);
      self.send(10, re, @(w) rlay.writeBody(w, 10, said));
    end

    function [code, why] = refusal(self, kind, body)
      % Why a request cannot be taken now (the tables of section 10); code is 0 if it can.
      code = 1;
      why = '';
      isOpen = strcmp(self.state, 'open');
      if any(kind == [48 80])
        why = 'environments with many agents are not supported';
      elseif kind == 32
        if strcmp(self.state, 'no env')
          code = 0;
        end
        why = 'the environment is made already; one session makes one';
      elseif kind < 32 || kind > 37
        error('rlay:protocol', 'the agent sent a frame of kind %d out of turn', kind);
      elseif any(strcmp(self.state, {'no env', 'making'}))
        why = 'the environment is not made yet; send Make first';
      elseif ~isOpen
        code = 4;
        why = 'the environment is closed';
      elseif kind == 37
        code = 5 * ~isempty(self.turn);
        why = 'an answer is still owed; close after it';
      elseif isempty(body.slots)
        why = 'a request for no slot';
      elseif any(body.slots ~= 0)
        why = 'there is one slot, number 0';
      elseif numel(body.slots) > 1
        why = 'a slot is named twice in one request';
      elseif ~isempty(self.turn)
        code = 5;
        why = 'the slot still owes an answer';
      elseif kind == 34 && ~self.wasReset
        code = 2;
        why = 'Cannot call env.step() before calling env.reset()';
      elseif kind == 36
        why = 'this host offers no attributes';
      elseif kind == 35 && ~ischar(self.renderMode)
        why = 'there is no render mode; the agent did not ask for one';
      else
        code = 0;
      end
    end

    function request(self, kind, seq, body)
      % Makes a request that can be taken the turn, unless its content is wrong.
      names = {'make', 'reset', 'step', 'render', 'attribute', 'close'};
      turn = rlay.Turn(self, seq, names{kind - 31});
      self.turn = turn;
      switch turn.kind
        case 'make'
          self.hasBegun = true;
          self.state = 'making';
          problem = self.problemOf(body.kwargs);
          if ~isempty(problem)
            self.answerError(turn, 1, rlay.failure(1, problem));
            return
          end
          turn.make = struct('envId', body.envId, 'kwargs', {rlay.plain(body.kwargs)}, 'renderMode', body.renderMode);
        case 'reset'
          turn.seed = seedOf(body.seeds{1});
          turn.options = self.given(body.options);
        case 'step'
          payload = body.payload;
          if payload.isPacked
            try
              r = rlay.Reader(payload.bytes);
              payload.values = rlay.unpack(r, self.env.actionSpace, 1);
              r.finish();
            catch err
              payload.failure = err;
            end
          end
          if ~isempty(payload.failure)
            self.answerError(turn, 8, payload.failure);
            return
          end
          turn.action = self.given(payload.values{1});
        case 'close'
          self.state = 'closing';
      end
      self.isTaken = false;
    end
    function problem = problemOf(self, kwargs)
      problem = '';
      if ~isa(kwargs, 'rlay.DictValue') || ~all(cellfun(@ischar, kwargs.pairs(:, 1)))
        problem = 'keyword arguments are a dict with names as keys';
        return
      end
      names = kwargs.pairs(:, 1);
      unknown = names(~ismember(names, self.options.kwargs));
      if ~isempty(unknown)
        known = strjoin([self.options.kwargs {}], ', ');
        if isempty(known)
          known = 'none';
        end
        problem = sprintf('no keyword argument ''%s'' here; there are: %s', rlay.shown(unknown{1}), known);
      end
    end
    function x = given(self, x)
      if ~self.options.exactTypes
        x = rlay.plain(x);
      end
    end

    function write(self, turn, varargin)
      switch turn.kind
        case 'make'
          self.spec(turn, varargin{1});
        case 'close'
          self.send(68, turn.request, @(w) w.u64(0));
        case 'render'
          self.send(66, turn.request, @(w) writeFrames(w, varargin{1}));
        otherwise
          isFirst = strcmp(turn.kind, 'reset');
          if isFirst
            result = {varargin{1}, 0, false, false, varargin{2}};
          else
            result = varargin;
          end
          if isempty(result{5})
            result{5} = struct();
          end
          if ~(isstruct(result{5}) && isscalar(result{5})) && ~isa(result{5}, 'rlay.DictValue')
            error('rlay:usage', 'the info of %s is no struct', turn.kind);
          elseif ~(isnumeric(result{2}) || islogical(result{2})) || ~isscalar(result{2})
            error('rlay:usage', 'the reward is no number');
          end
          if ~self.options.exactTypes
            result{1} = rlay.fit(self.env.observationSpace, result{1});
          end
          self.send(65, turn.request, @(w) writeResult(w, self.env.observationSpace, isFirst, result{:}));
      end
    end
    function spec(self, turn, env)
      make = turn.make;
      self.send(64, turn.request, @(w) writeSpec(w, make, env));
      self.env = env;
      self.renderMode = make.renderMode;
      self.state = 'open';
    end
  end
end

function writeFrames(w, frame)
  w.u64(1);
  w.u32(0);
  w.value(frame);
end

function writeResult(w, space, isFirst, observation, reward, terminated, truncated, info)
  flags = isFirst + 2 * logical(terminated) + 4 * logical(truncated);
  w.raw([uint8([1 zeros(1, 11) flags]) typecast(double(reward), 'uint8')]);
  w.allowsOpaque = true;
  w.value(info);
  w.allowsOpaque = false;
  w.payload(space, observation);
end

function writeSpec(w, make, env)
  w.text(char(make.envId));
  w.space(env.observationSpace);
  w.space(env.actionSpace);
  w.u32(1);
  w.u8(0);
  w.optionalText(make.renderMode);
  w.allowsOpaque = true;
  % Gymnasium's own default, which its check_env relies on.
  metadata = struct('render_modes', {{}});
  if rlay.has(env, 'metadata') && ~isempty(env.metadata)
    metadata = env.metadata;
  end
  w.value(metadata);
  details = struct();
  if rlay.has(env, 'details') && ~isempty(env.details)
    details = env.details;
  end
  pairs = cell(0, 2);
  if isfield(details, 'rewardThreshold')
    pairs(end + 1, :) = {'reward_threshold', double(details.rewardThreshold)};
  end
  if isfield(details, 'nondeterministic')
    pairs(end + 1, :) = {'nondeterministic', logical(details.nondeterministic)};
  end
  if isfield(details, 'maxEpisodeSteps')
    pairs(end + 1, :) = {'max_episode_steps', int64(details.maxEpisodeSteps)};
  end
  w.value(rlay.DictValue(pairs));
  w.u64(0);
end

function seed = seedOf(given)
  seed = [];
  if ~isa(given, 'rlay.Bytes')
    return
  end
  bytes = given.bytes;
  if numel(bytes) <= 8
    seed = typecast([bytes zeros(1, 8 - numel(bytes), 'uint8')], 'uint64');
    if seed <= 2^53
      seed = double(seed);
    end
  else
    seed = rlay.BigInt([bytes zeros(1, bytes(end) > 127, 'uint8')]);
  end
end

function text = traceOf(err)
  text = '';
  if exist('OCTAVE_VERSION', 'builtin') == 0 && isa(err, 'MException')
    text = err.getReport('extended', 'hyperlinks', 'off');
    return
  end
  if ~isstruct(err) && isprop(err, 'stack') || isstruct(err) && isfield(err, 'stack')
    for i = 1:numel(err.stack)
      text = sprintf('%s  %s, line %d\n', text, err.stack(i).name, err.stack(i).line);
    end
  end
end
