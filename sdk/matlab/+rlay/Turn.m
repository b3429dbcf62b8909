classdef Turn < handle
%TURN One request of the agent, which reply or fail answers. Once the session is over, answers do nothing.
%   kind      'make', 'reset', 'step', 'render' or 'close'
%   make      of 'make': struct of envId (text or []), kwargs (struct) and renderMode (text or [])
%   seed      of 'reset': [] for none, a double, a uint64 beyond 2^53, an rlay.BigInt beyond that
%   options   of 'reset'; [] for None
%   action    of 'step'
%   env       what Make was replied with
  properties
    kind
    make = []
    seed = []
    options = []
    action = []
    env = []
    request % the seq of the frame
  end
  properties (Access = private)
    session
  end
  methods
    function self = Turn(session, request, kind)
      self.session = session;
      self.request = request;
      self.kind = kind;
      self.env = session.env;
    end
    function yes = isOpen(self)
      %ISOPEN Whether the agent still waits for the answer.
      yes = ~isempty(self.session.turn) && self.session.turn.request == self.request;
    end
    function reply(self, varargin)
      %REPLY Takes what the environment's method would return.
      if self.isOpen()
        self.session.reply(self, varargin{:});
      end
    end
    function fail(self, err)
      %FAIL Answers that the environment failed: err is a text, or what catch has caught.
      err = rlay.chars(err);
      if ischar(err)
        err = struct('identifier', '', 'message', err, 'stack', []);
      end
      if self.isOpen()
        self.session.answerError(self, 9, err);
      end
    end
  end
end
