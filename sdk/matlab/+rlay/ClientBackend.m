classdef ClientBackend < rlay.Backend
%CLIENTBACKEND Dials rlay.ServerEnv, and again after each session.
%   rlay.ClientBackend(@make, 'tcp://127.0.0.1:5005').run()
%   make(wanted) returns the environment; wanted is a struct of envId, kwargs and renderMode. A program that an agent
%   has launched gives '' for the address. Options follow as names and values, see rlay.options. run and poll raise an
%   error where trying again is pointless: another token, another release, no RLay there.
%
%   An environment is an object or a struct of function handles with observationSpace, actionSpace,
%   [observation, info] = reset(seed, options) and
%   [observation, reward, terminated, truncated, info] = step(action), and may have metadata, details (struct of
%   rewardThreshold, nondeterministic, maxEpisodeSteps), render() and close(). Without step it is served by poll().
  properties (Access = private)
    isLaunched
    hasDialed = false
    failures = 0 % how many sessions in a row came to nothing
    dialAt = 0
    dialPause = 0.02
    lossPause = 0
    receivedBefore = uint64(0)
    giveUpAt = 0
  end
  methods
    function self = ClientBackend(make, address, varargin)
      launched = getenv('RLAY_ADDRESS');
      if isempty(address)
        address = launched;
      end
      if isempty(address)
        error('rlay:address', 'no address to dial, and RLAY_ADDRESS is not set');
      end
      self = self@rlay.Backend(make, address, varargin{:});
      self.isLaunched = strcmp(address, launched);
    end
  end
  methods (Access = protected)
    function connect(self)
      if ~isempty(self.links) || self.isClosed || rlay.clock() < self.dialAt
        return
      end
      if isempty(self.session)
        self.session = rlay.EnvSession(self.options);
        self.dialPause = 0.02;
        self.lossPause = 0;
        self.receivedBefore = intmax('uint64');
      end
      try
        if exist('OCTAVE_VERSION', 'builtin')
          socket = tcpclient(self.host, self.port);
        else
          socket = tcpclient(self.host, self.port, 'ConnectTimeout', 5, 'EnableTransferDelay', false);
        end
      catch err
        isRefused = ~isempty(strfind(err.message, 'refused')); %#ok<STREMP>
        self.failed(rlay.failure(10, err.message), isRefused);
        return
      end
      self.links{1} = rlay.Link(self.session.dial(), rlay.Channel(socket, 'client'));
    end
    function ended(self, connection)
      session = self.session;
      if isempty(session) || session.isOver
        return
      end
      if ~connection.isOpen
        self.failed(connection.failure, false);
        return
      end
      % Connections that bring nothing but a Welcome are not made without a pause.
      if session.received == self.receivedBefore
        self.lossPause = longer(self.lossPause);
      else
        self.lossPause = 0;
      end
      self.receivedBefore = session.received;
      self.dialPause = 0.02;
      self.dialAt = rlay.clock() + self.lossPause;
      timeout = self.options.reconnectTimeout;
      if isempty(timeout)
        timeout = 30;
      end
      self.giveUpAt = rlay.clock() + timeout;
    end
    function sessionOver(self)
      session = self.session;
      sessionOver@rlay.Backend(self);
      self.hasDialed = self.hasDialed || session.received > 0;
      if session.steps > 0 || isempty(session.failure)
        self.failures = 0;
      else
        self.failures = self.failures + 1;
      end
      self.dialAt = rlay.clock() + min(0.02 * 2 ^ max(self.failures - 1, 0), 5);
    end
  end
  methods (Access = private)
    function failed(self, failure, isRefused)
      % Goes on after an attempt to connect and to shake hands has failed.
      session = self.session;
      code = rlay.codeOf(failure);
      isPointless = any(code == [7 13]);
      now = rlay.clock();
      if session.isLost
        if isPointless || (isRefused && isempty(self.options.reconnectTimeout)) || now > self.giveUpAt
          session.finish(failure);
          return
        end
      elseif isPointless || ~any(code == [5 10])
        session.finish(failure);
        self.session = [];
        self.isClosed = true;
        error(failure.identifier, '%s', failure.message);
      elseif self.isLaunched && self.hasDialed && isRefused
        session.finish([]);
        self.isClosed = true;
        return
      elseif self.dialPause > 0.5
        self.log(['no agent takes the session yet: ' failure.message]);
      end
      self.dialAt = now + self.dialPause;
      self.dialPause = longer(self.dialPause);
    end
  end
end

function pause = longer(pause)
  pause = min(max(2 * pause, 0.02), 1);
end
